import { setTimeout as pause } from "node:timers/promises";
import { oneLine, type Bench, type Scenario } from "../kit/bench.ts";
import { startHeadgatePool, startPool, type Fault, type Pool } from "../kit/pool.ts";
import type { Cell, Check, ScenarioResult } from "../kit/results.ts";
import { median } from "../kit/statistics.ts";
import { startSteadyLoad, type Sample } from "../kit/steady.ts";

/** All five instances fail at once and come back: the load on them meanwhile, how fast the answer is no, the way back. */
export const badAllScenario: Scenario = { name: "bad-all", run };

const instances = 5;
const perSecond = 250;
const patienceMs = 10_000;
const wellMs = 4_000;
const backMs = 8_000;
const openMs = 1_000;
/** What an answer from elsewhere takes on this machine is measured beside it and taken off. */
const fixedPath = "/fixed";

interface Outcome {
  readonly requests: number;
  /** Requests that reached instances for each request of a client. */
  readonly amplification: number;
  /** Median of the answers that were no, less that of a fixed answer. */
  readonly refusedMs: number;
  readonly refused: number;
  /** From their return to the first answer of theirs. */
  readonly recoveredMs: number;
}

const cases = [
  { fault: "close", breaker: false },
  { fault: "close", breaker: true },
  { fault: "500", breaker: true },
  { fault: "refuse", breaker: true },
] as const satisfies readonly { fault: Fault; breaker: boolean }[];

async function run(bench: Bench): Promise<ScenarioResult> {
  const rows: Cell[][] = [];
  const checks: Check[] = [];
  const notes = [
    `${perSecond} requests a second; with a breaker: open for ${openMs / 1000} s, all else by default. The time of a refusal is the median beyond that of a fixed answer of the same gateway.`,
  ];
  for (const { fault, breaker } of cases) {
    const name = `${fault}, ${breaker ? "breaker" : "defaults"}`;
    try {
      const outcome = await measure(bench, fault, breaker);
      const { requests, amplification, refused, refusedMs, recoveredMs } = outcome;
      rows.push([name, requests, amplification, refused, refusedMs, recoveredMs / 1000]);
      checks.push({
        what: `Load on failing instances, ${name}`,
        value: amplification,
        bound: "at most",
        limit: 1.2,
        unit: "×",
      });
      if (!breaker) continue;
      checks.push(
        { what: `A refusal, ${name}`, value: refusedMs, bound: "at most", limit: 1, unit: "ms" },
        { what: `Recovery, ${name}`, value: recoveredMs / openMs, bound: "at most", limit: 1, unit: "intervals" },
      );
    } catch (error) {
      notes.push(`${name} did not run: ${oneLine(error)}`);
    }
  }
  const columns = ["", "requests", "reached instances ×", "refused", "refusal ms", "back after s"];
  return { name: "bad-all", title: "All five instances fail and come back", columns, rows, checks, notes };
}

async function measure(bench: Bench, fault: Fault, breaker: boolean): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const pool = stack.use(await startPool(instances));
  // As long as the breaker is open at most, trials included: an interval does not grow here.
  const policies = breaker ? [`circuitBreaker: { open: ${openMs}ms, openMax: ${openMs}ms }`] : [];
  const routes = [`fixed: { match: { path: ${fixedPath} }, respond: { body: "no" } }`];
  const gateway = stack.use(
    await startHeadgatePool({ name: "bad-all", ports: pool.ports, dir: bench.dir, policies, routes }),
  );
  const load = stack.use(startSteadyLoad(gateway.port, perSecond, patienceMs));
  const fixed = stack.use(startSteadyLoad(gateway.port, 20, patienceMs, fixedPath));
  await pause(wellMs);
  await arrivalsOfAll(pool);
  const badFromMs = Date.now();
  await setAll(pool, fault);
  await pause(bench.quick ? 3_000 : 15_000);
  const badToMs = Date.now();
  const arrived = (await arrivalsOfAll(pool)).length;
  await setAll(pool, "none");
  const backFromMs = Date.now();
  await pause(backMs);
  const samples = await load.stop();
  const during = samples.filter(({ startedMs }) => startedMs >= badFromMs && startedMs < badToMs);
  const refused = during.filter(({ status }) => status === 503);
  const took = (some: readonly Sample[]): number => median(some.map(({ tookMs }) => tookMs));
  const firstMs = Math.min(
    ...samples.filter(({ status, startedMs }) => status === 200 && startedMs >= backFromMs).map(endOf),
  );
  return {
    requests: during.length,
    amplification: arrived / during.length,
    refused: refused.length,
    refusedMs: Math.max(0, took(refused) - took(await fixed.stop())),
    recoveredMs: firstMs - backFromMs,
  };
}

function endOf({ startedMs, tookMs }: Sample): number {
  return startedMs + tookMs;
}

async function setAll(pool: Pool, fault: Fault | "none"): Promise<void> {
  await Promise.all(pool.ports.map((_, instance) => pool.set(instance, fault)));
}

async function arrivalsOfAll(pool: Pool): Promise<number[]> {
  return (await Promise.all(pool.ports.map((_, instance) => pool.arrivals(instance)))).flat();
}
