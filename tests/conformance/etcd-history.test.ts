import assert from "node:assert/strict";
import test from "node:test";
import { etcdMissing } from "../kit/etcd.ts";
import { targets } from "./etcd-history-targets.ts";
import { runWorkload } from "./etcd-workload.ts";

const seed = 20_260_101;

for (const [name, open] of Object.entries(targets)) {
  const skip = name.startsWith("etcd") ? etcdMissing : false;
  test(`what watchers of ${name} record is what happened, whole and in order`, { skip }, async (t) => {
    const target = await open(t);
    const report = await runWorkload({ ...target, seed, durationMsMin: 2_000, revisionsMin: 250 });
    t.diagnostic(JSON.stringify({ ...report, violations: report.violations.length }));
    assert.deepEqual(report.violations.slice(0, 5), [], `seed ${seed}`);
    // A quiet run would show nothing.
    assert.ok(report.toldEvents > report.events, `${report.toldEvents} events told of ${report.events}`);
    assert.ok(report.compactions > 0);
    assert.ok(report.expired >= 3, `${report.expired} keys expired`);
    if (target.disturb !== undefined) assert.ok(report.disturbances > 3, `${report.disturbances} disturbances`);
  });
}
