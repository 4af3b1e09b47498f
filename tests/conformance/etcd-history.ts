/**
 * `node tests/conformance/etcd-history.ts --seconds 300 --seed 7 --only "the embedded store"`: the recorded histories of
 * etcd-history.test.ts for as long as one likes. Exit 1 on a violation.
 */
import { parseArgs } from "node:util";
import { ManualScope } from "../kit/scope.ts";
import { targets } from "./etcd-history-targets.ts";
import { runWorkload } from "./etcd-workload.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_007) },
    only: { type: "string" },
  },
});

for (const [name, open] of Object.entries(targets)) {
  if (values.only !== undefined && values.only !== name) continue;
  const scope = new ManualScope();
  try {
    const enough = { durationMsMin: Number(values.seconds) * 1_000, revisionsMin: 0 };
    const report = await runWorkload({ ...(await open(scope)), seed: Number(values.seed), ...enough });
    console.log(name, `--seed ${values.seed}`, report);
    if (report.violations.length > 0) process.exitCode = 1;
  } finally {
    await scope.close();
  }
}
