import { setTimeout as pause } from "node:timers/promises";
import { oneLine, type Bench, type Scenario } from "../kit/bench.ts";
import { startHeadgatePool, startPool } from "../kit/pool.ts";
import type { Cell, Check, ScenarioResult } from "../kit/results.ts";
import { median, quantile } from "../kit/statistics.ts";
import { startSteadyLoad } from "../kit/steady.ts";

/** One of five instances is five times slower: latency under each of the policies. */
export const balanceScenario: Scenario = { name: "balance", run };

const policies = ["peak-ewma", "least-requests", "round-robin"] as const;
type Policy = (typeof policies)[number];
const instances = 5;
const perSecond = 200;
const patienceMs = 10_000;
const settleMs = 3_000;

interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Per cent of the requests that the slower one got. */
  readonly share: number;
}

async function run(bench: Bench): Promise<ScenarioResult> {
  const rows: Cell[][] = [];
  const notes = [
    `${perSecond} requests a second, answers after 5 ms, of one instance after 25 ms; medians of the rounds.`,
  ];
  const measured: Record<Policy, Latency[]> = { "peak-ewma": [], "least-requests": [], "round-robin": [] };
  try {
    for (let round = 0; round < bench.rounds; round++) {
      // Interleaved, so that a slow minute of the machine hits all.
      for (const policy of policies) measured[policy].push(await measure(bench, policy));
    }
  } catch (error) {
    notes.push(`headgate did not run: ${oneLine(error)}`);
  }
  const of = (policy: Policy, figure: keyof Latency): number => median(measured[policy].map((round) => round[figure]));
  for (const policy of policies) rows.push([policy, of(policy, "p50Ms"), of(policy, "p99Ms"), of(policy, "share")]);
  const own = of("peak-ewma", "p99Ms");
  const checks: Check[] = [
    {
      what: "p99 of peak-ewma against least-requests",
      value: own / of("least-requests", "p99Ms"),
      bound: "at most",
      limit: 1,
      unit: "×",
    },
    {
      what: "p99 of peak-ewma against round-robin",
      value: own / of("round-robin", "p99Ms"),
      bound: "at most",
      limit: 0.5,
      unit: "×",
    },
  ];
  const columns = ["", "p50 ms", "p99 ms", "requests to it %"];
  return {
    name: "balance",
    title: "One of five instances five times slower",
    columns,
    rows,
    checks,
    notes,
    rounds: measured,
  };
}

async function measure(bench: Bench, policy: Policy): Promise<Latency> {
  await using stack = new AsyncDisposableStack();
  const pool = stack.use(await startPool(instances));
  await pool.set(0, "slower");
  const policyLines = [`balance: ${policy}`];
  const gateway = stack.use(
    await startHeadgatePool({
      name: `balance-${policy}`,
      ports: pool.ports,
      dir: bench.dir,
      policies: policyLines,
      workers: 1,
    }),
  );
  const load = stack.use(startSteadyLoad(gateway.port, perSecond, patienceMs));
  await pause(settleMs);
  await pool.arrivals(0);
  const fromMs = Date.now();
  await pause(bench.quick ? 2_000 : 8_000);
  const reached = (await pool.arrivals(0)).length;
  const samples = (await load.stop()).filter(({ startedMs }) => startedMs >= fromMs);
  const took = samples.map(({ tookMs }) => tookMs);
  return { p50Ms: median(took), p99Ms: quantile(took, 0.99), share: (100 * reached) / samples.length };
}
