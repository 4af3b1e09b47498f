/**
 * `npm run bench`: Headgate beside nginx, HAProxy, @fastify/http-proxy and http-proxy-3 on this machine.
 * docs/benchmarks.md says how it is measured and how to read it.
 */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { ensureDebianPackages } from "../scripts/debian.ts";
import { oneLine } from "./kit/bench.ts";
import { machineFacts } from "./kit/machine.ts";
import { merge, readResults, writeResults } from "./kit/results.ts";
import { renderText } from "./kit/table.ts";
import { targetNames, targetPackages } from "./kit/targets.ts";
import { startUpstream } from "./kit/upstream.ts";
import { badAllScenario } from "./scenarios/bad-all.ts";
import { badInstanceScenarios } from "./scenarios/bad-instance.ts";
import { balanceScenario } from "./scenarios/balance.ts";
import { bigBodyScenario } from "./scenarios/big-body.ts";
import { chainScenario } from "./scenarios/chain.ts";
import { idleScenario } from "./scenarios/idle.ts";
import { loadScenarios } from "./scenarios/load.ts";
import { microScenario } from "./scenarios/micro.ts";
import { reloadScenario } from "./scenarios/reload.ts";
import { routesScenario } from "./scenarios/routes.ts";
import { syscallsScenario } from "./scenarios/syscalls.ts";
import type { Bench, Scenario } from "./kit/bench.ts";
import type { KeptScenario, ScenarioResult } from "./kit/results.ts";
import type { TargetName } from "./kit/targets.ts";

const scenarios: readonly Scenario[] = [
  ...loadScenarios,
  chainScenario,
  routesScenario,
  reloadScenario,
  idleScenario,
  bigBodyScenario,
  syscallsScenario,
  microScenario,
  ...badInstanceScenarios,
  badAllScenario,
  balanceScenario,
];

const usage = `npm run bench -- [options]
  --rounds N          measured rounds of each target, default 5
  --secs N            seconds of a round, default 2
  --only NAME,...     scenarios; a name stands for all that begin with it. Known: ${scenarios.map((s) => s.name).join(" ")}
  --targets NAME,...  default ${targetNames.join(",")}
  --json FILE         results, default bench/results.json; scenarios that did not run keep their figures in it
  --quick             one round of one second and small sizes; writes nothing unless --json is given`;

interface Options {
  readonly rounds: number;
  readonly secondsPerRound: number;
  readonly quick: boolean;
  readonly scenarios: readonly Scenario[];
  readonly targets: readonly TargetName[];
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
        targets: { type: "string" },
        json: { type: "string" },
        quick: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      return undefined;
    }
    const results = fileURLToPath(new URL("results.json", import.meta.url));
    return {
      rounds: wholeNumber(values.rounds ?? (values.quick ? "1" : "5"), "--rounds"),
      secondsPerRound: wholeNumber(values.secs ?? (values.quick ? "1" : "2"), "--secs"),
      quick: values.quick,
      scenarios: choose(scenarios, values.only, (scenario) => scenario.name),
      targets: choose(targetNames, values.targets, (name) => name),
      json: values.json ?? (values.quick ? undefined : results),
    };
  } catch (error) {
    console.error(`${oneLine(error)}\n${usage}`);
    process.exitCode = 2;
    return undefined;
  }
}

function wholeNumber(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} takes a whole number from 1, not "${text}"`);
  return value;
}

/** An exact name stands for itself (small-1 is not small-1000), any other for all that begin with it. */
function choose<T>(all: readonly T[], wanted: string | undefined, nameOf: (item: T) => string): readonly T[] {
  if (wanted === undefined) return all;
  const chosen = new Set<T>();
  for (const name of wanted.split(",").filter((each) => each !== "")) {
    const exact = all.filter((item) => nameOf(item) === name);
    const found = exact.length > 0 ? exact : all.filter((item) => nameOf(item).startsWith(name));
    if (found.length === 0) throw new Error(`nothing is called "${name}"`);
    for (const item of found) chosen.add(item);
  }
  return all.filter((item) => chosen.has(item));
}

async function main(chosen: Options, startedAt: Date): Promise<number> {
  // Servers end with this process, whatever ends it; see kit/process.ts.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  const missing = await missingPrograms(chosen);
  for (const required of ["nginx", "wrk"]) {
    if (!missing.has(required)) continue;
    console.error(`The benchmark needs ${required}. Install it (Debian: nginx-light, wrk), or run this as root.`);
    return 1;
  }
  const dir = await mkdtemp(join(tmpdir(), "headgate-bench-"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true })); // a signal passes by the finally below
  await chmod(dir, 0o755); // nginx reads files as a user of its own
  try {
    await using upstream = await startUpstream(dir);
    const bench: Bench = {
      ...chosen,
      upstream,
      dir,
      missing,
      wallMs: startedAt.getTime(),
      say: (text) => console.error(text),
    };
    const results = await runScenarios(bench, chosen.scenarios);
    if (chosen.quick) console.log("\nA quick run shows that everything runs; its figures are not for comparing.");
    await keep(chosen, startedAt, results);
    return 0;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function runScenarios(bench: Bench, wanted: readonly Scenario[]): Promise<ScenarioResult[]> {
  const results: ScenarioResult[] = [];
  for (const scenario of wanted) {
    bench.say(`... ${scenario.name}`);
    try {
      const result = await scenario.run(bench);
      results.push(result);
      console.log(renderText(result));
    } catch (error) {
      // What was measured until here is worth keeping.
      console.error(`${scenario.name} failed:`, error);
      process.exitCode = 1;
    }
  }
  return results;
}

async function keep(chosen: Options, startedAt: Date, results: readonly ScenarioResult[]): Promise<void> {
  if (chosen.json === undefined) return;
  const kept = results.map((result): KeptScenario => ({
    ...result,
    date: startedAt.toISOString(),
    roundsRun: chosen.rounds,
    secondsPerRound: chosen.secondsPerRound,
  }));
  const machine = await machineFacts();
  await writeResults(chosen.json, merge(await readResults(chosen.json), { machine, scenarios: kept }));
  console.log(`\nwritten to ${chosen.json}`);
}

async function missingPrograms(chosen: Options): Promise<ReadonlySet<string>> {
  const packages = ["nginx-light", "wrk", "strace"];
  for (const target of chosen.targets) packages.push(targetPackages[target] ?? "nginx-light");
  await ensureDebianPackages([...new Set(packages)]);
  const missing = new Set<string>();
  for (const program of ["nginx", "haproxy", "wrk", "strace"]) {
    // Another distribution's packages have other names: what counts is whether the program is there.
    const found = await promisify(execFile)("sh", ["-c", 'command -v "$0"', program]).then(
      () => true,
      () => false,
    );
    if (!found) missing.add(program);
  }
  return missing;
}
