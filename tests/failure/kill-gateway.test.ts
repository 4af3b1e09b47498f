import assert from "node:assert/strict";
import test from "node:test";
import { etcdMissing } from "../kit/etcd.ts";
import { newestFirst } from "../kit/scope.ts";
import { killGateway } from "./kill-gateway-run.ts";

const times = 8;

const skip = etcdMissing;

test(
  "a gateway that is killed at any moment starts again with a state that was once complete, with etcd and without",
  { skip },
  async (t) => {
    // The seed is one in which each sort of kill comes up.
    const report = await killGateway(newestFirst(t), { times, seed: 3, workers: 1 });
    t.diagnostic(JSON.stringify(report));
    assert.ok(report.killedAtStart > 0 && report.fromDisk > 1 && report.fromStore > 1, JSON.stringify(report));
  },
);
