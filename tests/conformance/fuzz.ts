/** `npm run fuzz -- --inputs 1000000 --seed 1`: the gateway's HTTP/1.1 parsers against node's own. Exit 1 on a disagreement. */
import { parseArgs } from "node:util";
import { escapeBytes } from "../kit/wire.ts";
import { fuzz, inputAt, judge, type FuzzReport } from "./fuzz-run.ts";

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "1000000" },
    seed: { type: "string" },
    only: { type: "string" },
    failures: { type: "string", default: "20" },
  },
});

const seed = values.seed === undefined ? Date.now() % 1_000_000_007 : Number(values.seed);
const options = { inputs: Number(values.inputs), seed, failuresMax: Number(values.failures) };

function print(report: FuzzReport, seconds: number): void {
  const stricter = [...report.stricter].sort(([, a], [, b]) => b - a);
  const total = stricter.reduce((sum, [, count]) => sum + count, 0);
  console.log(
    `${report.inputs} inputs, seed ${seed}, ${seconds.toFixed(1)} s (${Math.round(report.inputs / seconds)} a second)`,
  );
  console.log(
    `${report.messages} messages read alike; ${total} inputs refused that node takes; ${report.undecided} waiting where node refused`,
  );
  for (const [reason, count] of stricter) console.log(`  ${String(count).padStart(8)}  ${reason}`);
  for (const { index, kind, reason, input } of report.failures) {
    console.log(`DISAGREEMENT in ${kind} ${index} (--seed ${seed} --only ${index}): ${reason}\n  ${input}`);
  }
  console.log(
    report.failures.length === 0
      ? "no disagreement in which ours is the more lenient"
      : `${report.failures.length} disagreements`,
  );
}

if (values.only === undefined) {
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  const report = fuzz(options, ({ inputs }) =>
    console.error(`${inputs} of ${options.inputs}, ${seconds().toFixed(0)} s`),
  );
  print(report, seconds());
  process.exitCode = report.failures.length === 0 ? 0 : 1;
} else {
  const { kind, text, method } = inputAt(options, Number(values.only));
  console.log(kind, method, escapeBytes(text), judge(kind, text, method));
}
