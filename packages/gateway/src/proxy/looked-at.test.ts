import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChainEntry, Match, RouteResource, ServiceResource } from "@headgate/schema";
import { z } from "zod";
import { silentLog } from "../core/log.ts";
import { Wheel } from "../core/wheel.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { LookedAt } from "./looked-at.ts";
import type { Kit } from "./middleware.ts";
import { defineMiddleware } from "./middleware.ts";
import { Live, type SnapshotChange } from "./snapshot.ts";
import { Instances } from "./upstream/instances.ts";

const asks = (name: string): Match => ({ headers: { [name]: { exists: true } } });
const step = (when: Match): ChainEntry => ({ name: "pass", when });

test("what is looked at follows the configuration, and has a limit", () => {
  const lookedAt = new LookedAt();
  const route = { match: [asks("X-A"), { path: "/" }], use: [] };
  const chain = { use: [step({ ...asks("x-a"), clients: ["::/0"] })] };
  const seen = () => [lookedAt.headers, lookedAt.cookies, lookedAt.clients, lookedAt.anything];
  lookedAt.replace(undefined, route);
  lookedAt.replace(undefined, chain);
  assert.deepEqual(seen(), [["x-a"], [], true, true]);
  lookedAt.replace(chain, undefined);
  assert.deepEqual(seen(), [["x-a"], [], false, true]);
  lookedAt.replace(route, { use: [] });
  assert.deepEqual(seen(), [[], [], false, false]);
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`x-${i}`, { exists: true }]));
  lookedAt.replace(undefined, { match: [{ headers: many, cookies: many }], use: [] });
  assert.deepEqual([lookedAt.headers.length, lookedAt.cookies.length], [16, 0]);
});

function newLive(): Live {
  const clock = { now: () => 0, wall: () => 0 };
  const random = () => 0;
  const metrics = new Metrics(() => {});
  const instances = new Instances({
    clock,
    random,
    wheel: new Wheel(0),
    metrics,
    workers: 1,
    workerId: 1,
    zone: undefined,
    onEvent() {},
  });
  const kit = (identity: string) => ({ identity, clock, random, log: silentLog }) as unknown as Kit; // `pass` reads none
  const pass = defineMiddleware({ name: "pass", config: z.any(), build: () => (_, next) => next() });
  return new Live(instances, { kit }, new Map([["pass", pass]]), () => Promise.reject(new Error("no plugins here")));
}

const route = (match: Match, use: readonly ChainEntry[] = []): RouteResource => ({
  match: [match],
  use,
  respond: { status: 200, headers: {}, body: "" },
  priority: 0,
});
const service = (use: readonly ChainEntry[]): ServiceResource => ({
  instances: [],
  protocol: "http",
  balance: { policy: "round-robin" },
  use,
  timeouts: { connectMs: 1, firstByteMs: 1, idleMs: 1 },
  retry: { attempts: 0, on: [], budgetRatio: 0, backoffMs: 0 },
  pool: { max: 1, idleMs: 1 },
});

/** Everything that may hold a condition, what it makes the live configuration look at, and how that goes away again. */
const changes: readonly (readonly [what: string, Change, looksAt: string, Change])[] = [
  ["a route's match", { routes: { set: { r: route(asks("a")) }, delete: [] } }, "a", { routes: { set: {}, delete: ["r"] } }],
  ["a route's chain", { routes: { set: { r: route({}, [step(asks("b"))]) }, delete: [] } }, "b", { routes: { set: { r: route({}) }, delete: [] } }],
  ["a service's chain", { services: { set: { s: service([step(asks("c"))]) }, delete: [] } }, "c", { services: { set: {}, delete: ["s"] } }],
  ["a service that changes", { services: { set: { s: service([step(asks("d"))]) }, delete: [] } }, "d", { services: { set: { s: service([]) }, delete: [] } }],
  ["a named step", { middlewares: { set: { m: { entry: step(asks("e")) } }, delete: [] } }, "e", { middlewares: { set: {}, delete: ["m"] } }],
  ["a named step that changes", { middlewares: { set: { m: { entry: step(asks("f")) } }, delete: [] } }, "f", { middlewares: { set: { m: { entry: step({}) } }, delete: [] } }],
  ["the global chain", { global: [step(asks("g"))] }, "g", { global: [] }],
]; // prettier-ignore

type Change = Omit<SnapshotChange, "revision">;

for (const [what, change, looksAt, undo] of changes) {
  test(`conditions of ${what} count while they are live`, async () => {
    const live = newLive();
    const prepared = await live.prepare({ revision: 1, ...change });
    assert.deepEqual(live.lookedAt.headers, []);
    prepared.commit();
    assert.deepEqual(live.lookedAt.headers, [looksAt]);
    (await live.prepare({ revision: 2, ...change })).commit();
    (await live.prepare({ revision: 3, ...undo })).commit();
    assert.deepEqual(live.lookedAt.headers, []);
  });
}
