import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteResource } from "@headgate/schema";
import type { Kit, MiddlewareDefinition } from "./middleware.ts";
import { SnapshotError } from "./build-failure.ts";
import { clientOf, requestOf } from "./router/router.fixtures.ts";
import { Live, type SnapshotChange } from "./snapshot.ts";
import type { Instances } from "./upstream/instances.ts";

/** So many that they get a router of their own. */
const many = 1_200;

function setup() {
  const instances = {} as unknown as Instances; // no change here names a service
  const plugin: MiddlewareDefinition = {
    name: "p",
    config: { safeParse: (data: unknown) => ({ success: true, data }) } as unknown as MiddlewareDefinition["config"],
    build: () => (_exchange, next) => next(),
  };
  const live = new Live(instances, { kit: () => ({}) as unknown as Kit }, new Map(), () => Promise.resolve(plugin));
  const bodyOf = (target: string) => live.router.find(requestOf({ target }), clientOf())?.value.resource.respond?.body;
  const prepare = (change: Omit<SnapshotChange, "revision">) => live.prepare({ revision: 1, ...change });
  const run = async (change: Omit<SnapshotChange, "revision">) => (await prepare(change)).commit();
  return { live, bodyOf, prepare, run };
}

function route(path: string, body: string, use: RouteResource["use"] = []): RouteResource {
  return { match: [{ path }], use, respond: { status: 200, headers: {}, body }, priority: 0 };
}

const unbuildable: RouteResource = { ...route("/bad", "bad"), match: [{ headers: { x: { regex: "(" } } }] };

function numbered(body: string): [string, RouteResource][] {
  return Array.from({ length: many }, (_, i) => [`r${i}`, route(`/r/${i}`, body)]);
}

test("what was told ahead is live with the change it belongs to, and not before", async () => {
  const { live, bodyOf, prepare } = setup();
  live.ahead.add(numbered("first"));
  assert.equal(bodyOf("/r/7"), undefined);
  const prepared = await prepare({ routes: { set: { more: route("/more", "more") }, delete: [] }, aheadBut: ["r8"] });
  assert.deepEqual([bodyOf("/r/7"), bodyOf("/more")], [undefined, undefined]);
  prepared.commit();
  assert.deepEqual([bodyOf("/r/7"), bodyOf("/r/8"), bodyOf("/more")], ["first", undefined, "more"]);
  assert.equal(live.router.size, many);
});

test("beside routes that are served it replaces those of its names; the others stay or go as the change says", async () => {
  const { live, bodyOf, run } = setup();
  await run({
    routes: {
      set: { r7: route("/r/7", "before"), kept: route("/kept", "kept"), gone: route("/gone", "gone") },
      delete: [],
    },
  });
  live.ahead.add(numbered("after").slice(0, 600));
  live.ahead.add(numbered("after").slice(600));
  await run({ routes: { set: {}, delete: ["gone"] }, aheadBut: ["r9"] });
  const found = ["/r/7", "/r/9", "/r/1100", "/kept", "/gone"].map(bodyOf);
  assert.deepEqual(found, ["after", undefined, "after", "kept", undefined]);
});

test("a few routes, and one that is told twice, take the same way", async () => {
  const { live, bodyOf, run } = setup();
  live.ahead.add([["a", route("/a", "first")]]);
  live.ahead.add([
    ["a", route("/a", "second")],
    ["b", unbuildable],
  ]);
  live.ahead.add([["b", route("/b", "mended")]]);
  await run({ aheadBut: [] });
  assert.deepEqual([bodyOf("/a"), bodyOf("/b")], ["second", "mended"]);
});

test("what cannot be built is named by the change, which can be tried again without it", async () => {
  const { live, bodyOf, prepare, run } = setup();
  live.ahead.add([...numbered("ahead"), ["bad", unbuildable]]);
  await assert.rejects(prepare({ aheadBut: ["r1"] }), (error) => {
    assert.ok(error instanceof SnapshotError);
    assert.deepEqual(
      error.failures.map(({ kind, name }) => [kind, name]),
      [["routes", "bad"]],
    );
    return true;
  });
  assert.equal(bodyOf("/r/0"), undefined);
  // Other names are left out than before.
  await run({ aheadBut: ["bad", "r2"] });
  assert.deepEqual([bodyOf("/r/0"), bodyOf("/r/1"), bodyOf("/r/2")], ["ahead", "ahead", undefined]);
});

test("a change that says nothing of it takes none of it, and what is forgotten is in no change", async () => {
  const { live, bodyOf, run } = setup();
  live.ahead.add(numbered("ahead"));
  await run({ routes: { set: { own: route("/own", "own") }, delete: [] } });
  assert.deepEqual([bodyOf("/own"), bodyOf("/r/7")], ["own", undefined]);
  live.ahead.clear();
  await run({ aheadBut: [] });
  assert.deepEqual([bodyOf("/own"), bodyOf("/r/7")], ["own", undefined]);
});

test("a route that lets go of a plugin in the change that renews the plugin is the new one", async () => {
  const { live, bodyOf, run } = setup();
  await run({
    plugins: { set: { p: { module: "1", sha256: "1" } }, delete: [] },
    routes: { set: { r: route("/r", "with", [{ name: "p" }]), s: route("/s", "with", [{ name: "p" }]) }, delete: [] },
  });
  live.ahead.add([["r", route("/r", "without")]]);
  await run({ plugins: { set: { p: { module: "2", sha256: "2" } }, delete: [] }, aheadBut: [] });
  assert.deepEqual([bodyOf("/r"), bodyOf("/s")], ["without", "with"]);
});
