import { setTimeout as pause } from "node:timers/promises";
import type { Bench, Scenario } from "../../kit/bench.ts";
import type { ScenarioResult } from "../../kit/results.ts";
import { slope } from "../../kit/statistics.ts";
import { startEtcd, type Etcd } from "../kit/etcd.ts";
import { startStoreGateway, type StoreGateway } from "../kit/gateway.ts";
import { resourcesOf, routeKey, routeValue } from "../kit/resources.ts";

/** 10,000 changes one after the other beside 100,000 routes: what stays in memory. */
export const churnScenario: Scenario = { name: "churn", run };

const workers = 2;
const sampleEvery = 100;
const quietMs = 15_000;
const caughtUpTimeoutMs = 60_000;

async function run(bench: Bench): Promise<ScenarioResult> {
  const routes = bench.quick ? 5_000 : 100_000;
  const changes = bench.quick ? 500 : 10_000;
  await using stack = new AsyncDisposableStack();
  const etcd = stack.use(await startEtcd(bench.dir, "churn-etcd"));
  await etcd.putAll(resourcesOf(routes, bench.upstream.port));
  const gateway = stack.use(await startStoreGateway({ name: "churn", dir: bench.dir, etcdPort: etcd.port, workers }));
  const quiet = (): Promise<void> => pause(bench.quick ? 1_000 : quietMs);
  // The first ones compile code and fill what is kept for every change.
  await change(etcd, gateway, routes, Math.min(2_000, changes), 1, () => {});
  await quiet();
  const before = gateway.residentBytes();
  const samples: number[] = [];
  const cpuUs = gateway.cpuUs();
  const fromMs = performance.now();
  await change(etcd, gateway, routes, changes, 100_000, () => samples.push(gateway.residentBytes()));
  const seconds = (performance.now() - fromMs) / 1_000;
  const cpuMs = (gateway.cpuUs() - cpuUs) / 1_000 / changes;
  const after = gateway.residentBytes();
  await quiet();
  const rested = gateway.residentBytes();
  const label = `${changes.toLocaleString("en")} changes`;
  return {
    name: "churn",
    title: `${label} one after the other beside ${routes.toLocaleString("en")} routes, ${workers} workers`,
    columns: ["", "MB resident"],
    rows: [
      ["before", Math.round(before / 1e6)],
      ["most", Math.round(Math.max(...samples) / 1e6)],
      ["after the last change", Math.round(after / 1e6)],
      ["after a pause", Math.round(rested / 1e6)],
    ],
    checks: [
      {
        what: `Memory after ${label} and a pause against before`,
        value: rested / before,
        bound: "at most",
        limit: 1.05,
        unit: "×",
      },
    ],
    notes: [
      `${Math.round(changes / seconds)} changes a second, ${cpuMs.toFixed(2)} ms of CPU time for each in all threads; what came while one was published is in the next. Over the second half, the resident size grew by ${growth(samples).toFixed(2)} kB a change.`,
    ],
    rounds: { before, samples, after, rested, seconds, cpuMs },
  };
}

/** Each change waits for etcd, not for the gateway; at the end for the gateway, too. */
async function change(
  etcd: Etcd,
  gateway: StoreGateway,
  routes: number,
  changes: number,
  mark: number,
  sample: () => void,
): Promise<void> {
  const { revision } = await gateway.status();
  for (let i = 0; i < changes; i++) {
    const at = (i * 7919) % routes;
    await etcd.put(routeKey(at), routeValue(at, mark + i));
    if (i % sampleEvery === sampleEvery - 1) sample();
  }
  const deadline = performance.now() + caughtUpTimeoutMs;
  while ((await gateway.status()).revision < revision + changes) {
    if (performance.now() > deadline) throw new Error("the gateway does not catch up");
    await pause(50);
  }
}

function growth(samples: readonly number[]): number {
  return slope(samples.slice(samples.length >> 1)) / sampleEvery / 1_000;
}
