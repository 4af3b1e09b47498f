/**
 * `npm run bench:config`: what a change of the configuration costs, with real etcd on this machine. docs/benchmarks.md
 * says how it is measured and how to read it.
 */
import { existsSync, rmSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureDebianPackages } from "../../scripts/debian.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import { machineFacts } from "../kit/machine.ts";
import { merge, readResults, writeResults } from "../kit/results.ts";
import type { KeptScenario, ScenarioResult } from "../kit/results.ts";
import { renderText } from "../kit/table.ts";
import { startUpstream } from "../kit/upstream.ts";
import { coresInUse } from "./kit/neighbours.ts";
import { changeScenario } from "./scenarios/change.ts";
import { churnScenario } from "./scenarios/churn.ts";
import { latencyScenario } from "./scenarios/latency.ts";
import { pluginScenario } from "./scenarios/plugin.ts";
import { requestsScenario } from "./scenarios/requests.ts";
import { startScenario } from "./scenarios/start.ts";

const scenarios: readonly Scenario[] = [
  latencyScenario,
  startScenario,
  changeScenario,
  requestsScenario,
  churnScenario,
  pluginScenario,
];

const usage = `npm run bench:config -- [options]
  --rounds N       measured rounds where there are any, default 5
  --secs N         seconds of a round of requests, default 3
  --only NAME,...  known: ${scenarios.map(({ name }) => name).join(" ")}
  --json FILE      results, default bench/results-config.json; scenarios that did not run keep their figures in it
  --quick          fewer routes, changes and rounds; writes nothing unless --json is given`;

interface Options {
  readonly rounds: number;
  readonly secondsPerRound: number;
  readonly quick: boolean;
  readonly scenarios: readonly Scenario[];
  readonly json: string | undefined;
}

const options = readOptions();
if (options !== undefined) process.exitCode = await main(options, new Date());

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: "string" },
        secs: { type: "string" },
        only: { type: "string" },
        json: { type: "string" },
        quick: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      return undefined;
    }
    const names = values.only?.split(",");
    const unknown = names?.find((name) => !scenarios.some((scenario) => scenario.name === name));
    if (unknown !== undefined) throw new Error(`nothing is called "${unknown}"`);
    const results = fileURLToPath(new URL("../results-config.json", import.meta.url));
    return {
      rounds: wholeNumber(values.rounds ?? (values.quick ? "1" : "5"), "--rounds"),
      secondsPerRound: wholeNumber(values.secs ?? (values.quick ? "1" : "3"), "--secs"),
      quick: values.quick,
      scenarios: scenarios.filter(({ name }) => names?.includes(name) ?? true),
      json: values.json ?? (values.quick ? undefined : results),
    };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exitCode = 2;
    return undefined;
  }
}

function wholeNumber(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} takes a whole number from 1, not "${text}"`);
  return value;
}

async function main(chosen: Options, startedAt: Date): Promise<number> {
  // Servers end with this process, whatever ends it; see ../kit/process.ts.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  await ensureDebianPackages(["nginx-light", "wrk", "etcd-server"]);
  const missing = ["nginx", "wrk", "etcd"].filter((program) => !isThere(program));
  if (missing.length > 0) {
    console.error(
      `Missing: ${missing.join(", ")}. Install them (Debian: nginx-light, wrk, etcd-server), or run this as root.`,
    );
    return 1;
  }
  const dir = await mkdtemp(join(tmpdir(), "headgate-bench-"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true })); // a signal passes by the finally below
  await chmod(dir, 0o755); // nginx reads files as a user of its own
  try {
    await using upstream = await startUpstream(dir);
    const bench: Bench = {
      ...chosen,
      ...{ targets: [], upstream, dir, missing: new Set() },
      wallMs: startedAt.getTime(),
      say: (text) => console.error(text),
    };
    const results = await runScenarios(bench, chosen.scenarios);
    if (chosen.quick) console.log("\nA quick run shows that everything runs; its figures are not for comparing.");
    if (chosen.json !== undefined) await keep(chosen.json, chosen, startedAt, results);
    return results.length < chosen.scenarios.length ? 1 : 0;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function isThere(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, program)));
}

async function runScenarios(bench: Bench, wanted: readonly Scenario[]): Promise<ScenarioResult[]> {
  const results: ScenarioResult[] = [];
  for (const scenario of wanted) {
    const { used, cores } = await coresInUse();
    bench.say(`... ${scenario.name} (others use ${used.toFixed(2)} of ${cores} cores)`);
    try {
      const result = await scenario.run(bench);
      const note = `Just before, other programs used ${used.toFixed(2)} of the machine's ${cores} cores.`;
      results.push({ ...result, notes: [...result.notes, note] });
      console.log(renderText(results.at(-1) ?? result));
    } catch (error) {
      // What was measured until here is worth keeping.
      console.error(`${scenario.name} failed:`, error);
    }
  }
  return results;
}

async function keep(
  path: string,
  { rounds, secondsPerRound }: Options,
  startedAt: Date,
  results: readonly ScenarioResult[],
): Promise<void> {
  const date = startedAt.toISOString();
  const kept = results.map((result): KeptScenario => ({ ...result, date, roundsRun: rounds, secondsPerRound }));
  const machine = await machineFacts([["etcd", "--version", /etcd Version: (\S+)/]]);
  await writeResults(path, merge(await readResults(path), { machine, scenarios: kept }));
  console.log(`\nwritten to ${path}`);
}
