import { setTimeout as pause } from "node:timers/promises";
import type { Bench, Scenario } from "../../kit/bench.ts";
import type { Cell, ScenarioResult } from "../../kit/results.ts";
import { cpuRatio, loadTable, measureRounds, type Contender } from "../../kit/rounds.ts";
import { startEtcd } from "../kit/etcd.ts";
import { startStoreGateway } from "../kit/gateway.ts";
import { resourcesOf } from "../kit/resources.ts";

/** What 100,000 routes cost a request, and in memory: beside 10, in alternating rounds. */
export const requestsScenario: Scenario = { name: "requests", run };

const few = 10;
/** For the garbage of the start to be collected. */
const quietMs = 10_000;

async function run(bench: Bench): Promise<ScenarioResult> {
  const many = bench.quick ? 5_000 : 100_000;
  await using stack = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  const freshBytes: number[] = [];
  for (const routes of [few, many]) {
    const etcd = stack.use(await startEtcd(bench.dir, `requests-etcd-${routes}`));
    await etcd.putAll(resourcesOf(routes, bench.upstream.port));
    const options = { name: `requests-${routes}`, dir: bench.dir, etcdPort: etcd.port, workers: 1 };
    const running = stack.use(await startStoreGateway(options));
    await pause(bench.quick ? 1_000 : quietMs);
    freshBytes.push(running.residentBytes());
    contenders.push({ name: nameOf(routes), running, load: { path: "/", connections: 64, routes } });
  }
  const measured = await measureRounds(bench, contenders);
  await pause(bench.quick ? 0 : quietMs);
  const askedBytes = contenders.map(({ running }) => running.residentBytes());
  const { columns, rows } = loadTable(measured);
  const cells = rows.map((row, at): Cell[] => [...row, Math.round((freshBytes[at] ?? NaN) / 1e6)]);
  const perRoute = ([least = NaN, most = NaN]: readonly number[]): number => (most - least) / (many - few) / 1_000;
  return {
    name: "requests",
    title: `${few} against ${many.toLocaleString("en")} routes, all of them asked, 64 connections, one worker`,
    columns: [...columns, "MB before the first request"],
    rows: cells,
    checks: [
      {
        what: `CPU per request with ${many.toLocaleString("en")} routes against ${few}`,
        value: cpuRatio(measured, nameOf(many), nameOf(few)),
        bound: "at most",
        limit: 1.15,
        unit: "×",
      },
    ],
    notes: [
      `A route takes ${perRoute(freshBytes).toFixed(1)} kB of memory in the control thread and one worker together, and ${perRoute(askedBytes).toFixed(1)} kB once it was asked for: it has its chain and its metrics then.`,
    ],
    rounds: { measured, freshBytes, askedBytes },
  };
}

function nameOf(routes: number): string {
  return `${routes.toLocaleString("en")} routes`;
}
