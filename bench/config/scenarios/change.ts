import { setTimeout as pause } from "node:timers/promises";
import type { Bench, Scenario } from "../../kit/bench.ts";
import type { Cell, ScenarioResult } from "../../kit/results.ts";
import { quantile } from "../../kit/statistics.ts";
import { monitorLoops, type Blocks, type LoopMonitor } from "../kit/blocks.ts";
import { makeChanges, noTimes, timeCells, timeColumns, type Times } from "../kit/changes.ts";
import { startEtcd, type Etcd } from "../kit/etcd.ts";
import { startStoreGateway, type StoreGateway } from "../kit/gateway.ts";
import { beside, failuresOf, moderate } from "../kit/load.ts";
import { answerKey, answerPath, answerValue, resourcesOf } from "../kit/resources.ts";
import { openWatchers, type Watchers } from "../kit/watchers.ts";

/** A single change beside 100,000 routes: how long until it is live, and how long it holds up a worker. */
export const changeScenario: Scenario = { name: "change", run };

const workers = 2;
const changes = 200;
const stillMs = 10_000;
const firstChanges = 500;

interface Phase {
  readonly name: string;
  readonly times: Times | undefined;
  readonly failed: number;
  readonly worker: Blocks;
  readonly control: Blocks;
}

interface Parts {
  readonly bench: Bench;
  readonly etcd: Etcd;
  readonly gateway: StoreGateway;
  readonly watchers: Watchers;
  readonly loops: LoopMonitor;
  readonly routes: number;
}

async function run(bench: Bench): Promise<ScenarioResult> {
  const routes = bench.quick ? 5_000 : 100_000;
  await using stack = new AsyncDisposableStack();
  const etcd = stack.use(await startEtcd(bench.dir, "change-etcd"));
  await etcd.putAll(resourcesOf(routes, bench.upstream.port));
  const loops = await monitorLoops(bench.dir, "change");
  const options = { name: "change", dir: bench.dir, etcdPort: etcd.port, workers, env: loops.env };
  const gateway = stack.use(await startStoreGateway(options));
  const watchers = stack.use(await openWatchers(gateway));
  const parts = { bench, etcd, gateway, watchers, loops, routes };
  // The garbage of the start is collected while these are made, and code is compiled: once for each start.
  const first = await phase(parts, "first changes after the start, moderate load", {
    changes: firstChanges,
    loaded: true,
  });
  const phases = [
    await phase(parts, "no change, no load", { changes: 0, loaded: false }),
    await phase(parts, "changes, no load", { changes, loaded: false }),
    await phase(parts, "no change, moderate load", { changes: 0, loaded: true }),
    await phase(parts, "changes, moderate load", { changes, loaded: true }),
  ];
  return resultOf(first, phases, routes);
}

async function phase(
  { bench, etcd, gateway, watchers, loops, routes }: Parts,
  name: string,
  { changes: count, loaded }: { readonly changes: number; readonly loaded: boolean },
): Promise<Phase> {
  bench.say(`    ${name}`);
  const times = noTimes();
  let fromMs = 0;
  let toMs = 0;
  const put = (body: string): Promise<void> => etcd.put(answerKey, answerValue(body));
  const act = async (): Promise<void> => {
    fromMs = Date.now();
    if (count > 0) await makeChanges(bench.quick ? 10 : count, watchers, answerPath, put, times);
    else await pause(bench.quick ? 1_000 : stillMs);
    toMs = Date.now();
    await pause(200); // for the last lines of the monitor
  };
  const { load } = await beside(gateway.port, loaded ? { path: "/", routes, ...moderate } : undefined, act);
  const worker = await loops.longest("worker", fromMs, toMs);
  const control = await loops.longest("control", fromMs, toMs);
  return { name, times: count > 0 ? times : undefined, failed: failuresOf(load), worker, control };
}

function resultOf(first: Phase, phases: readonly Phase[], routes: number): ScenarioResult {
  const label = `${routes.toLocaleString("en")} routes`;
  const last = phases.at(-1);
  const none = timeColumns.map((): Cell => "-");
  const lost = [first, ...phases].reduce((sum, { times, failed }) => sum + (times?.lost ?? 0) + failed, 0);
  const changed = phases.filter(({ times }) => times !== undefined);
  const longestMs = Math.max(...changed.map(({ worker }) => Math.max(worker.runMs, worker.collectionMs)));
  return {
    name: "change",
    title: `A change of one route beside ${label}, ${workers} workers`,
    columns: ["", ...timeColumns, "worker: run ms", "collection", "wait", "control: run ms", "wait", "failed"],
    rows: [first, ...phases].map(({ name, times, worker, control, failed }): Cell[] => [
      name,
      ...(times === undefined ? none : timeCells(times)),
      ...[worker.runMs, worker.collectionMs, worker.waitMs, control.runMs, control.waitMs, failed],
    ]),
    checks: [
      {
        what: `From the return of a put until all workers serve it, ${label}, under load, p99`,
        value: quantile(last?.times?.afterReturnMs ?? [], 0.99),
        bound: "at most",
        limit: 50,
        unit: "ms",
      },
      {
        what: "Longest time a worker ran, or collected garbage, without a turn of its event loop",
        value: longestMs,
        bound: "at most",
        limit: 10,
        unit: "ms",
      },
      { what: "Requests that failed, or changes that were lost", value: lost, bound: "at most", limit: 0, unit: "" },
    ],
    notes: [
      "Run: the longest time one thread ran without a turn of its event loop; collection: the longest collection of garbage; wait: the longest time without a turn, in which others may have had the core. Each is the longest of its phase, measured every millisecond inside the thread, which costs it some of its speed.",
    ],
    rounds: [first, ...phases],
  };
}
