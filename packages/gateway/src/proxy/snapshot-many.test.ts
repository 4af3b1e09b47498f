import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteResource } from "@headgate/schema";
import type { Client } from "./exchange.ts";
import type { Kit } from "./middleware.ts";
import { requestOf } from "./router/router.fixtures.ts";
import { Live, type SnapshotChange } from "./snapshot.ts";
import type { Instances } from "./upstream/instances.ts";

const client: Client = { ip: "127.0.0.1", port: 1, peer: "127.0.0.1", scheme: "http", localPort: 80 };

/** So many that they get a router of their own. */
const many = 1_500;

function setup() {
  const instances = {} as unknown as Instances; // no change here names a service
  const live = new Live(instances, { kit: () => ({}) as unknown as Kit }, new Map(), () => Promise.reject(new Error()));
  const bodyOf = (target: string) => live.router.find(requestOf({ target }), client)?.value.resource.respond?.body;
  const prepare = (routes: NonNullable<SnapshotChange["routes"]>) => live.prepare({ revision: 1, routes });
  return { bodyOf, prepare };
}

function route(path: string, body: string): RouteResource {
  return { match: [{ path }], use: [], respond: { status: 200, headers: {}, body }, priority: 0 };
}

function manyRoutes(body: string): Record<string, RouteResource> {
  return Object.fromEntries(Array.from({ length: many }, (_, i) => [`r${i}`, route(`/r/${i}`, body)]));
}

test("a change of many routes is live as a whole, with its commit and not before", async () => {
  const { bodyOf, prepare } = setup();
  (await prepare({ set: { kept: route("/kept", "kept"), gone: route("/gone", "gone") }, delete: [] })).commit();
  const prepared = await prepare({ set: manyRoutes("first"), delete: ["gone"] });
  assert.deepEqual([bodyOf("/kept"), bodyOf("/gone"), bodyOf("/r/7")], ["kept", "gone", undefined]);
  prepared.commit();
  assert.deepEqual([bodyOf("/kept"), bodyOf("/gone"), bodyOf("/r/7")], ["kept", undefined, "first"]);
});

test("small changes follow a large one, and a large one follows them", async () => {
  const { bodyOf, prepare } = setup();
  (await prepare({ set: manyRoutes("first"), delete: [] })).commit();
  (await prepare({ set: { r7: route("/r/7", "second") }, delete: ["r8"] })).commit();
  assert.deepEqual([bodyOf("/r/6"), bodyOf("/r/7"), bodyOf("/r/8")], ["first", "second", undefined]);
  (await prepare({ set: manyRoutes("third"), delete: [] })).commit();
  assert.deepEqual([bodyOf("/r/6"), bodyOf("/r/7"), bodyOf("/r/8")], ["third", "third", "third"]);
});

test("a large change that cannot be built changes nothing", async () => {
  const { bodyOf, prepare } = setup();
  (await prepare({ set: manyRoutes("first"), delete: [] })).commit();
  const set = {
    ...manyRoutes("second"),
    bad: { ...route("/bad", "bad"), match: [{ headers: { x: { regex: "(" } } }] },
  };
  await assert.rejects(prepare({ set, delete: [] }), /routes\.bad\.match/);
  assert.deepEqual([bodyOf("/r/7"), bodyOf("/bad")], ["first", undefined]);
});
