import assert from "node:assert/strict";
import { test } from "node:test";
import type { Match, RouteResource } from "@headgate/schema";
import fc from "fast-check";
import { clientOf, requestOf } from "../proxy/router/router.fixtures.ts";
import { newlyUnreachable } from "./newly-unreachable.ts";
import { Routing, routerOf, type RoutesChange } from "./routing.ts";

const route = (match: Match | readonly Match[], priority = 0): RouteResource => ({
  match: [match].flat(),
  use: [],
  respond: { status: 200, headers: {}, body: "" },
  priority,
});
const at = (path: string, priority = 0): RouteResource => route({ path }, priority);

async function routingOf(routes: Record<string, RouteResource>) {
  const routing = new Routing(() => ({ routes }));
  await routing.ready();
  const taking = (target: string) => routing.router.find(requestOf({ target }), clientOf())?.name;
  return { routing, taking };
}

function routesOf(set: Record<string, RouteResource>, gone: readonly string[] = []): RoutesChange {
  return { routes: { set, delete: gone } };
}

test("it follows what becomes live", async () => {
  const { routing, taking } = await routingOf({ a: at("/a"), b: at("/b") });
  assert.deepEqual([taking("/a"), taking("/b")], ["a", "b"]);
  routing.update(routesOf({ a: at("/a2"), c: at("/c") }, ["b"]));
  routing.update({});
  assert.deepEqual(["/a", "/a2", "/b", "/c"].map(taking), [undefined, "a", undefined, "c"]);
});

test("it is not asked before it is ready, and what changes before is read with the rest", async () => {
  const routes = { a: at("/a") };
  const routing = new Routing(() => ({ routes }));
  routing.update(routesOf({ a: at("/never") }));
  assert.throws(() => routing.router, /before it is ready/);
  await routing.ready();
  assert.equal(routing.router.find(requestOf({ target: "/a" }), clientOf())?.name, "a");
});

test("what changes while it is built is not lost, whether the records change in place or not", async () => {
  for (const inPlace of [false, true]) {
    const routes = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`r${i}`, at(`/${i}`)]));
    const routing = new Routing(() => ({ routes }));
    const ready = routing.ready();
    // The first slice has been built, the last has not.
    routing.update(routesOf({ r0: at("/first"), r1999: at("/last"), new: at("/new") }, ["r1", "r1998"]));
    if (inPlace) {
      Object.assign(routes, { r0: at("/first"), r1999: at("/last"), new: at("/new") });
      delete routes["r1"];
      delete routes["r1998"];
    }
    await ready;
    const taking = (target: string) => routing.router.find(requestOf({ target }), clientOf())?.name;
    assert.deepEqual(["/first", "/last", "/new"].map(taking), ["r0", "r1999", "new"]);
    assert.deepEqual(["/0", "/1", "/1998", "/1999"].map(taking), [undefined, undefined, undefined, undefined]);
    assert.equal(routing.router.size, 1_999);
  }
});

test("building lets other work have its turn", async () => {
  const routes = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`r${i}`, at(`/${i}`)]));
  const routing = new Routing(() => ({ routes }));
  let turns = 0;
  let over = false;
  const ready = routing.ready().then(() => (over = true));
  while (!over) {
    turns++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ready;
  assert.ok(turns >= 9, `${turns} turns`);
});

test("a route that does not compile is told, and the next call builds anew", async () => {
  const routes: Record<string, RouteResource> = { bad: route({ headers: { h: { regex: "(" } } }), good: at("/good") };
  const routing = new Routing(() => ({ routes }));
  await assert.rejects(routing.ready(), SyntaxError);
  routes["bad"] = at("/bad");
  await routing.ready();
  assert.equal(routing.router.size, 2);
});

test("a change is tried and taken back, also where the trial fails", async () => {
  const { routing, taking } = await routingOf({ a: at("/a"), b: at("/b"), c: at("/c") });
  const change = routesOf({ a: at("/a2"), d: at("/b", 1) }, ["c"]);
  const seen = () => ["/a", "/a2", "/b", "/c"].map(taking);
  const before = seen();
  assert.deepEqual(routing.whatIf(change, seen), [undefined, "a", "d", undefined]);
  assert.deepEqual(seen(), before);
  assert.throws(
    () =>
      routing.whatIf(change, () => {
        throw new Error("stop");
      }),
    /stop/,
  );
  assert.deepEqual(seen(), before);
  assert.throws(() => routing.whatIf(routesOf({ a: at("/x"), e: route({ clients: ["x"] }) }), seen), TypeError);
  assert.deepEqual(seen(), before);
  assert.equal(routing.router.size, 3);
});

const hides: readonly {
  readonly what: string;
  readonly before: Record<string, RouteResource>;
  readonly change: RoutesChange;
  readonly hidden: readonly (readonly [route: string, alternative: number, by: string])[];
}[] = [
  {
    what: "a new route hides another",
    before: { b: at("/x") },
    change: routesOf({ a: at("/x") }),
    hidden: [["b", 0, "a"]],
  },
  {
    what: "a new route is hidden",
    before: { a: at("/x", 1) },
    change: routesOf({ "0": at("/x") }),
    hidden: [["0", 0, "a"]],
  },
  {
    what: "names of parameters do not matter",
    before: { b: at("/x/:id") },
    change: routesOf({ a: at("/x/:name") }),
    hidden: [["b", 0, "a"]],
  },
  {
    what: "priority decides before the name",
    before: { a: at("/x") },
    change: routesOf({ b: at("/x", 1) }),
    hidden: [["a", 0, "b"]],
  },
  { what: "what was hidden before is not new", before: { a: at("/x"), b: at("/x") }, change: routesOf({ b: at("/x", -1) }), hidden: [] }, // prettier-ignore
  { what: "what a deletion uncovers is not hidden", before: { a: at("/x"), b: at("/x") }, change: routesOf({}, ["a"]), hidden: [] }, // prettier-ignore
  {
    what: "other conditions are other requests",
    before: { b: route({ path: "/x", methods: ["GET"] }) },
    change: routesOf({ a: at("/x") }),
    hidden: [],
  },
  {
    what: "each alternative counts, and each of its hosts and methods",
    before: { b: route([{ path: "/x", methods: ["GET", "PUT"] }, { path: "/y" }]) },
    change: routesOf({ a: route([{ path: "/x", methods: ["PUT"] }, { path: "/y" }]) }),
    hidden: [["b", 1, "a"]],
  },
  {
    what: "a route that moves onto another one",
    before: { a: at("/x"), b: at("/y") },
    change: routesOf({ b: at("/x") }),
    hidden: [["b", 0, "a"]],
  },
];

for (const { what, before, change, hidden } of hides) {
  test(`unreachable: ${what}`, async () => {
    const { routing } = await routingOf(before);
    const found = routing.newlyUnreachable(change).map(({ route, alternative, by }) => [route, alternative, by]);
    assert.deepEqual(found, hidden);
    assert.equal(routing.router.size, Object.keys(before).length);
  });
}

// Few values, so that routes collide.
const match = fc.record(
  {
    path: fc.constantFrom("/a", "/b", "/:x", "/:y", "/a/*"),
    hosts: fc.uniqueArray(fc.constantFrom("a.test", "*.test"), { minLength: 1 }),
    methods: fc.uniqueArray(fc.constantFrom("GET", "PUT"), { minLength: 1 }),
    headers: fc.constantFrom({ h: { exists: true } }),
  },
  { requiredKeys: ["path"] },
);
const someRoute = fc
  .tuple(fc.array(match, { minLength: 1, maxLength: 2 }), fc.integer({ min: 0, max: 1 }))
  .map(([matches, priority]) => route(matches, priority));
const table = fc.dictionary(fc.constantFrom("r1", "r2", "r3", "r4", "r5"), someRoute, { noNullPrototype: true });

test("looking at what shares host and path finds what looking at every route finds, and leaves nothing behind", async () => {
  await fc.assert(
    fc.asyncProperty(
      table,
      table,
      fc.uniqueArray(fc.constantFrom<string[]>("r1", "r2", "r3")),
      async (routes, set, deleted) => {
        const gone = deleted.filter((name): boolean => !Object.hasOwn(set, name));
        const { routing } = await routingOf(routes);
        const before = new Map(Object.entries(routes));
        const after = new Map([...before, ...Object.entries(set)].filter(([name]) => !gone.includes(name)));
        const sorted = (found: readonly { route: string; alternative: number }[]) =>
          found.map(({ route, alternative }) => `${route} ${alternative}`).sort();
        const change = routesOf(set, gone);
        assert.deepEqual(sorted(routing.newlyUnreachable(change)), sorted(newlyUnreachable(before, after)));
        const size = routerOf({ routes }).measure();
        assert.deepEqual(routing.router.measure(), size);
        const tried = routing.whatIf(change, (router) => router.measure());
        assert.deepEqual(tried, routerOf({ routes: Object.fromEntries(after) }).measure());
        assert.deepEqual(routing.router.measure(), size);
      },
    ),
    { numRuns: 500 },
  );
});
