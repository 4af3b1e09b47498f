import { readFile, rename, writeFile } from "node:fs/promises";
import { headgateDocument } from "../../kit/documents.ts";
import { startHeadgate, type RunningHeadgate } from "../../kit/targets.ts";
import type { Bench, Scenario } from "../../kit/bench.ts";
import type { Cell, ScenarioResult } from "../../kit/results.ts";
import { quantile } from "../../kit/statistics.ts";
import type { Load } from "../../kit/wrk.ts";
import { makeChanges, noTimes, timeCells, timeColumns, type Times } from "../kit/changes.ts";
import { startEtcd, type Etcd } from "../kit/etcd.ts";
import { adminOf, startStoreGateway, type StoreGateway } from "../kit/gateway.ts";
import { beside, failuresOf, moderate, saturating } from "../kit/load.ts";
import { answerKey, answerPath, answerResource, answerValue, resourcesOf } from "../kit/resources.ts";
import { openWatchers, type Watchers } from "../kit/watchers.ts";

/** One route of 10,000: put to etcd, PUT to the admin API, or edited in a file, until all workers answer with it. */
export const latencyScenario: Scenario = { name: "latency", run };

const workers = 2;
const changesPerRound = 50;

/** One row of the table. */
interface Way {
  readonly name: string;
  readonly port: number;
  readonly watchers: Watchers;
  /** What they ask for. */
  readonly path: string;
  readonly load: Pick<Load, "connections" | "pauseMs"> | undefined;
  readonly write: (body: string) => Promise<void>;
  readonly times: Times;
  failed: number;
  requests: number;
}

async function run(bench: Bench): Promise<ScenarioResult> {
  const routes = bench.quick ? 500 : 10_000;
  await using stack = new AsyncDisposableStack();
  const etcd = stack.use(await startEtcd(bench.dir, "latency-etcd"));
  await etcd.putAll(resourcesOf(routes, bench.upstream.port));
  const stored = stack.use(await startStoreGateway({ name: "latency", dir: bench.dir, etcdPort: etcd.port, workers }));
  const document = headgateDocument({ upstreamPort: bench.upstream.port, routes, revision: "change 0", workers });
  const filed = stack.use(await startHeadgate("latency-file", document, bench.dir));
  const ways = await waysOf(etcd, stored, filed, stack);
  const changes = bench.quick ? 5 : changesPerRound;
  for (let round = 0; round < bench.rounds; round++) {
    bench.say(`    round ${round + 1} of ${bench.rounds}`);
    for (const way of round % 2 === 0 ? ways : ways.toReversed()) await measure(way, changes, routes);
  }
  const [first] = ways.filter(({ load }) => load === moderate);
  return {
    name: "latency",
    title: `From a write to its being served by all ${workers} workers, ${routes.toLocaleString("en")} routes`,
    columns: ["", ...timeColumns, "lost", "requests", "failed"],
    rows: ways.map((way): Cell[] => [way.name, ...timeCells(way.times), way.times.lost, way.requests, way.failed]),
    checks: [
      {
        what: "From the return of a put to etcd until all workers serve it, under load, p99",
        value: quantile(first?.times.afterReturnMs ?? [], 0.99),
        bound: "at most",
        limit: 20,
        unit: "ms",
      },
      {
        what: "Requests that failed, or changes that were lost",
        value: ways.reduce((sum, { failed, times }) => sum + failed + times.lost, 0),
        bound: "at most",
        limit: 0,
        unit: "",
      },
    ],
    notes: [
      "The times are from the return of the write. Each worker is asked over a connection of its own, every millisecond; the time is that of the last answer.",
    ],
    rounds: ways.map(({ name, times }) => ({ name, ...times })),
  };
}

async function waysOf(
  etcd: Etcd,
  stored: StoreGateway,
  filed: RunningHeadgate,
  stack: AsyncDisposableStack,
): Promise<Way[]> {
  const store = { port: stored.port, path: answerPath, watchers: stack.use(await openWatchers(stored)) };
  const status = (await adminOf(filed.adminPort, filed.dataDir)).status;
  const watchers = stack.use(await openWatchers({ port: filed.port, status }));
  const file = { port: filed.port, path: "/revision", watchers };
  const put = (body: string): Promise<void> => etcd.put(answerKey, answerValue(body));
  const ask = (body: string): Promise<void> => stored.putRoute("answer", answerResource(body));
  const original = await readFile(filed.document, "utf8");
  const edit = async (body: string): Promise<void> => {
    const next = `${filed.document}.next`;
    await writeFile(next, original.replace('"change 0"', JSON.stringify(body)));
    await rename(next, filed.document);
  };
  const way = (name: string, at: typeof store, write: Way["write"], load: Way["load"]): Way => ({
    ...{ name, ...at, write, load },
    ...{ times: noTimes(), failed: 0, requests: 0 },
  });
  return [
    way("put to etcd, no load", store, put, undefined),
    way("put to etcd, moderate load", store, put, moderate),
    way("put to etcd, all the load there can be", store, put, saturating),
    way("PUT /v1/routes/answer, moderate load", store, ask, moderate),
    way("file edited, moderate load", file, edit, moderate),
  ];
}

async function measure(way: Way, changes: number, routes: number): Promise<void> {
  const load = way.load === undefined ? undefined : { path: "/", routes, ...way.load };
  const done = await beside(way.port, load, () => makeChanges(changes, way.watchers, way.path, way.write, way.times));
  way.failed += failuresOf(done.load);
  way.requests += done.load?.requests ?? 0;
}
