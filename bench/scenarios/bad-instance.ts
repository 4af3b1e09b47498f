import { setTimeout as pause } from "node:timers/promises";
import { oneLine, type Bench, type Scenario } from "../kit/bench.ts";
import {
  faults,
  poolTargets,
  startPool,
  startPoolTarget,
  type Fault,
  type Pool,
  type PoolTarget,
} from "../kit/pool.ts";
import type { Running } from "../kit/process.ts";
import type { Cell, Check, ScenarioResult } from "../kit/results.ts";
import { quantile } from "../kit/statistics.ts";
import { startSteadyLoad, type Sample } from "../kit/steady.ts";

/** One of five instances turns bad under steady load: what clients notice, and for how long it still gets traffic. */
export const badInstanceScenarios: readonly Scenario[] = faults.map((fault) => ({
  name: `bad-${fault}`,
  run: (bench) => run(bench, fault),
}));

const titles: Readonly<Record<Fault, string>> = {
  "500": "answers 500 at once",
  hang: "takes requests and does not answer",
  close: "accepts connections and closes them",
  "reset-body": "resets connections in the middle of answers",
  slow: "answers forty times slower",
  "short-body": "announces more bytes than it sends",
  refuse: "refuses connections",
};

/** Largest share of requests that Headgate with its defaults may lose, per cent. */
const lostMax: Readonly<Record<Fault, number>> = {
  "500": 1,
  hang: 3,
  close: 0,
  "reset-body": 1,
  slow: 0,
  "short-body": 1,
  refuse: 0,
};

const instances = 5;
const perSecond = 250;
/** How long a client waits. Longer than Headgate's `firstByte`, shorter than what nginx and HAProxy wait by default. */
const patienceMs = 20_000;
const wellMs = 4_000;
/** What is left of the sick instance's fair share counts as none: probes. */
const probesShare = 0.1;
const sliceMs = 250;

interface Outcome {
  readonly requests: number;
  readonly failed: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Requests that reached the sick instance. */
  readonly reached: number;
  /** From its turning bad until it no longer got a noticeable share. */
  readonly untilMs: number;
}

async function run(bench: Bench, fault: Fault): Promise<ScenarioResult> {
  const rows: Cell[][] = [];
  const checks: Check[] = [];
  const notes = [
    `${perSecond} requests a second, five instances that answer after 5 ms; one turns bad for ${badMs(bench) / 1000} s. ` +
      `A request fails without a whole 200 within ${patienceMs / 1000} s. "Traffic until": when its share fell below a tenth of a fair one for good.`,
  ];
  const rounds: Record<string, Outcome> = {};
  for (const name of poolTargets) {
    if (!bench.targets.includes(name)) continue;
    try {
      const outcome = await measure(bench, name, fault);
      rounds[name] = outcome;
      const { requests, failed, p99Ms, maxMs, reached, untilMs } = outcome;
      const share = (100 * failed) / requests;
      rows.push([name, requests, failed, share, reached, untilMs / 1000, p99Ms, maxMs]);
      if (name === "headgate") checks.push(...checksOf(fault, share, untilMs));
    } catch (error) {
      notes.push(`${name} did not run: ${oneLine(error)}`);
    }
  }
  const columns = ["", "requests", "failed", "failed %", "reached it", "traffic until s", "p99 ms", "longest ms"];
  return {
    name: `bad-${fault}`,
    title: `One of five instances ${titles[fault]}`,
    columns,
    rows,
    checks,
    notes,
    rounds,
  };
}

function badMs(bench: Bench): number {
  return bench.quick ? 5_000 : 20_000;
}

function checksOf(fault: Fault, share: number, untilMs: number): Check[] {
  const lost: Check = {
    what: `Requests lost: it ${titles[fault]}`,
    value: share,
    bound: "at most",
    limit: lostMax[fault],
    unit: "%",
  };
  if (fault !== "slow") return [lost];
  const until: Check = {
    what: "Traffic leaves the slow instance after",
    value: untilMs / 1000,
    bound: "at most",
    limit: 2,
    unit: "s",
  };
  return [lost, until];
}

async function measure(bench: Bench, name: PoolTarget, fault: Fault): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const pool = stack.use(await startPool(instances));
  const target = stack.use(await startPoolTarget(name, pool.ports, bench.dir));
  return await observe(pool, target, fault, badMs(bench));
}

async function observe(pool: Pool, target: Running, fault: Fault, forMs: number): Promise<Outcome> {
  await using load = startSteadyLoad(target.port, perSecond, patienceMs);
  await pause(wellMs);
  await pool.arrivals(0);
  const fromMs = Date.now();
  await pool.set(0, fault);
  await pause(forMs);
  const toMs = Date.now();
  const arrivals = await pool.arrivals(0);
  const all = await load.stop();
  const samples = all.filter(({ startedMs }) => startedMs >= fromMs && startedMs < toMs);
  const took = samples.map(({ tookMs }) => tookMs);
  return {
    requests: samples.length,
    failed: samples.filter(isFailed).length,
    p99Ms: quantile(took, 0.99),
    maxMs: Math.max(...took),
    reached: arrivals.length,
    untilMs: trafficUntil(arrivals, fromMs),
  };
}

function isFailed({ status }: Sample): boolean {
  return status !== 200;
}

/** The end of the last second, in steps of a quarter, in which more than probes reached it. */
function trafficUntil(arrivals: readonly number[], fromMs: number): number {
  const probes = (perSecond / instances) * probesShare;
  let untilMs = 0;
  for (const startMs of arrivals.map((each) => each - ((each - fromMs) % sliceMs))) {
    const within = arrivals.filter((each) => each >= startMs && each < startMs + 1_000).length;
    if (within > probes)
      untilMs = Math.max(untilMs, Math.max(...arrivals.filter((each) => each < startMs + 1_000)) - fromMs);
  }
  return untilMs;
}
