import assert from "node:assert/strict";
import test from "node:test";
import { ManualScope } from "../kit/scope.ts";
import { soak } from "./soak-run.ts";

test("five seconds of reloads, dying instances and clients that go away: every answer is its request's, nothing leaks", async (t) => {
  const scope = new ManualScope();
  t.after(() => scope.close());
  const report = await soak(scope, { seconds: 4, warmUpSeconds: 1, clients: 12, workers: 2 });
  assert.deepEqual(report.failures, []);
  assert.ok(
    report.answered > 200 && report.aborted > 0 && report.reloads > 10 && report.kills > 3,
    JSON.stringify(report),
  );
  // The pools keep their connections to three instances from each worker; what remains of clients and attempts would be more.
  assert.ok(report.sockets.after <= report.sockets.before + 8, JSON.stringify(report.sockets));
  assert.ok(report.rssBytes.after <= report.rssBytes.before + 96 * 1024 * 1024, JSON.stringify(report.rssBytes));
});
