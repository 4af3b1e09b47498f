import { setTimeout as pause } from "node:timers/promises";
import type { Bench, Scenario } from "../../kit/bench.ts";
import type { ScenarioResult } from "../../kit/results.ts";
import { median, quantile, slope } from "../../kit/statistics.ts";
import { startEtcd } from "../kit/etcd.ts";
import { startStoreGateway } from "../kit/gateway.ts";
import { beside, failuresOf, moderate } from "../kit/load.ts";
import { prefix, resourcesOf } from "../kit/resources.ts";
import { openWatchers } from "../kit/watchers.ts";

/** A middleware of the user's own, 200 new versions of it under load: what fails, and what stays in memory. */
export const pluginScenario: Scenario = { name: "plugin", run };

const workers = 2;
const versions = 200;
/** Code and data of a version; what stays of each would be seen. */
const wordsChars = 100_000;
const path = "/plugged";
const quietMs = 10_000;

async function run(bench: Bench): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack();
  const etcd = stack.use(await startEtcd(bench.dir, "plugin-etcd"));
  const put = (version: number): Promise<void> => etcd.put(`${prefix}plugins/versioned`, sourceOf(version));
  await etcd.putAll(resourcesOf(100, bench.upstream.port));
  await put(0);
  const respond = { status: 500, body: "the plugin did not answer" };
  await etcd.put(`${prefix}routes/plugged`, JSON.stringify({ match: { path }, use: ["versioned"], respond }));
  const gateway = stack.use(await startStoreGateway({ name: "plugin", dir: bench.dir, etcdPort: etcd.port, workers }));
  const watchers = stack.use(await openWatchers(gateway));
  const liveMs: number[] = [];
  const samples: number[] = [];
  let lost = 0;
  const update = async (): Promise<void> => {
    for (let version = 1; version <= (bench.quick ? 10 : versions); version++) {
      const fromMs = performance.now();
      const seen = watchers.until(path, `version ${version}`);
      await put(version);
      const seenMs = await seen;
      if (seenMs === undefined) lost++;
      else liveMs.push(seenMs - fromMs);
      samples.push(gateway.residentBytes());
    }
  };
  const { load } = await beside(gateway.port, { path, ...moderate }, update);
  await pause(bench.quick ? 0 : quietMs);
  const rested = gateway.residentBytes();
  // The first versions fill what is kept anyway: threads that try them, compiled code, larger heaps.
  const later = samples.slice(samples.length >> 1);
  const megabytes = (bytes: number): number => Math.round(bytes / 1e6);
  const failed = failuresOf(load) + lost;
  return {
    name: "plugin",
    title: `A plugin updated ${samples.length} times under load, ${workers} workers`,
    columns: [
      "versions",
      "live after ms, p50",
      "p99",
      "requests",
      "failed",
      "MB at first",
      "half way",
      "at the end",
      "after a pause",
    ],
    rows: [
      [
        samples.length,
        ...[median(liveMs), quantile(liveMs, 0.99), load?.requests ?? 0, failed],
        ...[samples[0] ?? 0, later[0] ?? 0, samples.at(-1) ?? 0, rested].map(megabytes),
      ],
    ],
    checks: [
      { what: "Requests that failed while a plugin changed", value: failed, bound: "at most", limit: 0, unit: "" },
      {
        what: "Memory that stays of each version, second half",
        value: slope(later) / 1_000,
        bound: "at most",
        limit: 50,
        unit: "kB",
      },
    ],
    notes: [
      `Each version holds ${wordsChars / 1_000} kB of its own; the time is from the beginning of the put and holds bundling it and trying it in a thread.`,
    ],
    rounds: { liveMs, samples, rested },
  };
}

function sourceOf(version: number): string {
  const words = `version ${version} `.repeat(Math.ceil(wordsChars / `version ${version} `.length));
  return `import { defineMiddleware, z } from "headgate";
const words = ${JSON.stringify(words)};
export default defineMiddleware({
  name: "versioned",
  config: z.strictObject({}),
  build: () => (exchange) => {
    exchange.respond({ status: 200, body: words.split(" ", 2).join(" ") });
    return Promise.resolve();
  },
});
`;
}
