import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { StoreSettings } from "@headgate/schema";
import { deadPort } from "../../../../tests/kit/ports.ts";
import { newestFirst, type Scope } from "../../../../tests/kit/scope.ts";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { systemClock, systemRandom } from "../core/clock.ts";
import { systemTimers } from "../core/timers.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { answer, errors, route, running } from "./catalog/catalog.fixtures.ts";
import { converging } from "./converge.fixtures.ts";
import { EventBus } from "./events.ts";
import { linesLog } from "./member.fixtures.ts";
import { openEmbedded } from "./store/embedded/open.ts";
import { keyOf } from "./store/keys.ts";
import type { Operation } from "./store/store.ts";
import { Report } from "./report.ts";
import { StoreLayer } from "./store-layer.ts";

const embedded: StoreSettings = { embedded: { prefix: "/headgate/" } };
const anna = { author: "anna" };

async function folder(t: Scope): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "headgate-store-layer-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A gateway without the rest: a store, a catalog, and one worker. */
async function layered(t: Scope, dataDir: string, settings = embedded, servesWithout = false) {
  const { lines, log } = linesLog();
  const metrics = new Metrics(() => undefined);
  const report = new Report(systemClock, metrics, log);
  const parts: { layer?: StoreLayer } = {};
  const rig = await converging({
    onConverged: (converged) => {
      if (converged.change === undefined) report.advance(converged.revision);
      else report.live(converged.revision, converged.seenMs);
      parts.layer?.converged(converged);
    },
  });
  const layer = await StoreLayer.open({
    ...{ settings, registryPrefix: "/services/", dataDir, version: "1.2.3", report, metrics, log, servesWithout },
    ...{ catalog: rig.catalog, converger: rig.converger, events: new EventBus(systemClock) },
    ...{ clock: systemClock, timers: systemTimers, random: systemRandom },
    judge: () => () => Promise.resolve({ problems: [], unreachable: [] }),
    facts: () => ({ addresses: [":1"], admin: ":2", startedAt: "2026-01-01T00:00:00.000Z" }),
  });
  parts.layer = layer;
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= layer.close());
  t.after(close);
  return { ...rig, layer, report, close, lines };
}

/** What somebody else wrote while no gateway ran. */
async function write(dataDir: string, values: Readonly<Record<string, string | undefined>>): Promise<void> {
  const options = { clock: systemClock, timers: systemTimers, random: systemRandom, log: linesLog().log };
  const store = openEmbedded({ dataDir, ...options });
  const then = Object.entries(values).map(([key, value]): Operation =>
    value === undefined
      ? { type: "delete", delete: { key: keyOf(key) } }
      : { type: "put", put: { key: keyOf(key), value: Buffer.from(value) } },
  );
  await store.txn({ compare: [], then });
  await store.close();
}

const text = (value: unknown): string => JSON.stringify(value);

test("what the store holds is live when it is ready, and what cannot be is told with its key and revision", async (context) => {
  const t = newestFirst(context);
  const dataDir = await folder(t);
  await write(dataDir, {
    "/headgate/routes/a": text(answer("a")),
    "/headgate/routes/b": text(route("nobody")),
    "/headgate/rout/c": "stray",
  });
  const { layer, catalog, report } = await layered(t, dataDir);
  layer.start();
  await layer.ready();
  assert.deepEqual(running(catalog), ["routes/a"]);
  assert.deepEqual(
    report.problems.map(({ path, key, revision }) => [path, key, typeof revision]),
    [
      ["rout/c", "/headgate/rout/c", "number"],
      ["routes.b.to[0].service", "/headgate/routes/b", "number"],
    ],
  );
  assert.deepEqual([layer.synced, layer.connected, report.source], [true, true, "live"]);
});

test("changes go live one after the other, and a stray goes with its key", async (context) => {
  const t = newestFirst(context);
  const { layer, converger, catalog, report } = await layered(t, await folder(t));
  layer.start();
  await layer.ready();
  await layer.changes.put("services", "s", { instances: [{ address: "127.0.0.1:1" }] }, anna);
  const { revision } = await layer.changes.put("routes", "a", route("s"), anna);
  await waitFor(() => converger.revision >= revision);
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
  const { revision: stray } = await layer.changes.put("certificates", "c", { hosts: ["a.test"] }, anna);
  await waitFor(() => report.problems.length === 1);
  assert.equal(report.problems[0]?.path, "certificates.c");
  assert.ok(converger.revision >= stray);
  await layer.changes.delete("certificates", "c", anna);
  await waitFor(() => report.problems.length === 0);
});

test("the gateway tells the others what it runs and what it rejects, and is gone when it ends", async (context) => {
  const t = newestFirst(context);
  const dataDir = await folder(t);
  await write(dataDir, { "/headgate/routes/a": text(answer("a")), "/headgate/routes/b": "no JSON" });
  const { layer, converger, close } = await layered(t, dataDir);
  layer.start();
  await layer.ready();
  const node = await waitFor(() => layer.status().nodes.find(({ self }) => self));
  assert.deepEqual([node.version, node.revision, node.source], ["1.2.3", converger.revision, "live"]);
  assert.deepEqual(
    node.rejected.map(({ kind, name, key }) => [kind, name, key]),
    [["routes", "b", "/headgate/routes/b"]],
  );
  await close();
  const next = await layered(t, dataDir);
  next.layer.start();
  await next.layer.ready();
  await waitFor(() => next.layer.status().nodes.length === 1);
});

test("with the store away the last good state is served, and what the store says when it is back", async (context) => {
  const t = newestFirst(context);
  const dataDir = await folder(t);
  await write(dataDir, { "/headgate/routes/a": text(answer("good")), "/headgate/routes/gone": text(answer("gone")) });
  const first = await layered(t, dataDir);
  first.layer.start();
  await first.layer.ready();
  await first.layer.changes.put("routes", "a", "no route", anna);
  await waitFor(() => errors(first.catalog)["routes/a"] !== undefined);
  await first.close();

  const endpoints = [`http://127.0.0.1:${await deadPort()}`];
  const away = await layered(t, dataDir, { etcd: { endpoints, prefix: "/headgate/" } });
  away.layer.start();
  await away.layer.ready();
  assert.equal(away.catalog.live.routes["a"]?.respond?.body, "good");
  assert.deepEqual(running(away.catalog), ["routes/a", "routes/gone"]);
  assert.deepEqual([away.report.source, away.layer.synced], ["cache", false]);
  assert.ok(
    away.lines.some((line) => line.includes("serves from the last good state on disk")),
    away.lines.join("\n"),
  );
  await away.close();

  await write(dataDir, { "/headgate/routes/gone": undefined });
  const back = await layered(t, dataDir);
  back.layer.start();
  await back.layer.ready();
  assert.equal(back.catalog.live.routes["a"]?.respond?.body, "good");
  assert.deepEqual(running(back.catalog), ["routes/a"]);
  assert.deepEqual(Object.keys(errors(back.catalog)), ["routes/a"]);
  await waitFor(() => back.report.source === "live");
});

test("with the store away and nothing known the file alone is served", async (context) => {
  const t = newestFirst(context);
  const endpoints = [`http://127.0.0.1:${await deadPort()}`];
  const { layer, lines } = await layered(t, await folder(t), { etcd: { endpoints, prefix: "/headgate/" } }, true);
  layer.start();
  await layer.ready();
  assert.ok(
    lines.some((line) => line.includes("serves from the file alone")),
    lines.join("\n"),
  );
});

test("a change that nobody confirms is taken back", async (context) => {
  const t = newestFirst(context);
  const dataDir = await folder(t);
  await write(dataDir, { "/headgate/routes/a": text(answer("old")) });
  const { layer, catalog } = await layered(t, dataDir);
  layer.start();
  await layer.ready();
  await layer.changes.apply([{ routes: { a: answer("new"), b: answer("b") } }], { ...anna, confirmMs: 1_000 });
  await waitFor(() => running(catalog).includes("routes/b"));
  assert.equal(layer.status().confirmations.length, 1);
  await waitFor(() => !running(catalog).includes("routes/b"));
  assert.equal(catalog.live.routes["a"]?.respond?.body, "old");
  await waitFor(() => layer.status().confirmations.length === 0);
});

test("a change that was confirmed is not waited for after a start without the store", async (context) => {
  const t = newestFirst(context);
  const dataDir = await folder(t);
  const first = await layered(t, dataDir);
  first.layer.start();
  await first.layer.ready();
  const { change } = await first.layer.changes.apply([{ routes: { b: answer("b") } }], { ...anna, confirmMs: 60_000 });
  assert.ok(change !== null);
  await waitFor(() => first.layer.status().confirmations.length === 1 && running(first.catalog).includes("routes/b"));
  await first.layer.changes.confirm(change);
  await waitFor(() => first.layer.status().confirmations.length === 0);
  await first.close();
  const endpoints = [`http://127.0.0.1:${await deadPort()}`];
  const away = await layered(t, dataDir, { etcd: { endpoints, prefix: "/headgate/" } });
  away.layer.start();
  await away.layer.ready();
  assert.deepEqual(running(away.catalog), ["routes/b"]);
  assert.deepEqual(away.layer.status().confirmations, []);
});

test("an embedded store that another process holds is refused in one sentence", async (context) => {
  const t = newestFirst(context);
  const dataDir = await folder(t);
  await layered(t, dataDir);
  await assert.rejects(layered(t, dataDir), (error: Error) => {
    assert.match(error.message, /\.$/);
    return true;
  });
});
