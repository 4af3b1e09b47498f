import assert from "node:assert/strict";
import { test } from "node:test";
import type { Resources, RouteResource, ServiceResource } from "@headgate/schema";
import { middlewares } from "../middlewares/index.ts";
import { LookedAt } from "../proxy/looked-at.ts";
import { Recent, type RequestShape } from "../proxy/recent.ts";
import { clientOf, requestOf, type RequestFacts } from "../proxy/router/router.fixtures.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { replay, trafficReport } from "./replay.ts";
import { Routing } from "./routing.ts";

type Change = Omit<SnapshotChange, "revision">;

const route = (path: string, rest: Partial<RouteResource> = {}): RouteResource => ({
  match: [{ path }],
  use: [],
  to: [{ service: "one", weight: 1 }],
  priority: 0,
  ...rest,
});
const service = (use: ServiceResource["use"] = []): ServiceResource => ({
  instances: [{ address: "127.0.0.1:3001", weight: 1 }],
  protocol: "http",
  balance: { policy: "round-robin" },
  timeouts: { connectMs: 2_000, firstByteMs: 15_000, idleMs: 60_000 },
  retry: { attempts: 1, on: ["connect"], budgetRatio: 0.2, backoffMs: 25 },
  pool: { max: 256, idleMs: 60_000 },
  use,
});
const empty: Resources = { routes: {}, services: {}, middlewares: {}, consumers: {}, plugins: {}, global: [] };
const setting = (routes: Record<string, RouteResource>, gone: readonly string[] = []): Change => ({
  routes: { set: routes, delete: gone },
});

/** What these requests would notice of a change. */
async function report(resources: Partial<Resources>, change: Change, requests: readonly RequestFacts[]) {
  const live = { ...empty, ...resources };
  const lookedAt = new LookedAt();
  for (const route of Object.values(live.routes)) lookedAt.replace(undefined, route);
  const recent = new Recent(20_000);
  for (const facts of requests) recent.note(requestOf(facts), clientOf(), 1, lookedAt);
  const routing = new Routing(() => live);
  await routing.ready();
  const authenticator = (name: string) => (name === "own" ? ({ authenticates: true } as const) : middlewares.get(name));
  const told = trafficReport([recent.tell(lookedAt)], change, { resources: live, routing, authenticator });
  const again = trafficReport([recent.tell(lookedAt)], change, { resources: live, routing, authenticator });
  assert.deepEqual(again, told, "the trial was taken back");
  return told;
}

const targets = (...paths: string[]): RequestFacts[] => paths.map((target) => ({ target, host: "a.test" }));

test("requests that move, that nobody takes any more, and that somebody takes now are counted with an example", async () => {
  const routes = { all: route("/a/*"), old: route("/old") };
  const change = setting({ special: route("/a/b"), new: route("/new") }, ["old"]);
  const requests = targets("/a/b?secret=1", "/a/b", "/a/c", "/old", "/new", "/new", "/new", "/nowhere");
  assert.deepEqual(await report({ routes }, change, requests), {
    requests: 8,
    moved: [{ from: "all", to: "special", count: 2, example: "GET a.test/a/b" }],
    notFound: [{ from: "old", count: 1, example: "GET a.test/old" }],
    found: [{ to: "new", count: 3, example: "GET a.test/new" }],
    authentication: { lost: [], gained: [] },
  });
});

test("a change that routes the same requests to the same routes is not noticed", async () => {
  const routes = { all: route("/a/*") };
  const change = setting({ all: route("/a/*", { timeoutMs: 5 }), other: route("/z") });
  const told = await report({ routes }, change, targets("/a/b", "/a/c"));
  assert.deepEqual([told.moved, told.notFound, told.found, told.unseen], [[], [], [], undefined]);
});

test("the most frequent come first, and of many lines the rest is counted together", async () => {
  const names = Array.from({ length: 60 }, (_, i) => `r${i}`);
  const routes = Object.fromEntries(names.map((name) => [name, route(`/${name}`)]));
  const requests = [...names, ...names.slice(30), "r7", "r7"].map((name) => `/${name}`);
  const told = await report({ routes }, setting({}, names), targets(...requests));
  assert.equal(told.notFound.length, 50);
  assert.deepEqual(
    told.notFound.slice(0, 2).map(({ from, count }) => [from, count]),
    [
      ["r7", 3],
      ["r30", 2],
    ],
  );
  assert.deepEqual(told.others, { notFound: 10 });
});

const key = { name: "key-auth" };
const chains: readonly {
  readonly what: string;
  readonly before: Partial<Resources>;
  readonly change: Change;
  readonly lost?: number;
  readonly gained?: number;
}[] = [
  { what: "of the route", before: { routes: { r: route("/x", { use: [key] }) } }, change: setting({ r: route("/x") }), lost: 2 }, // prettier-ignore
  { what: "in the global chain", before: { routes: { r: route("/x") } }, change: { global: [key] }, gained: 2 },
  {
    what: "of the only service",
    before: { routes: { r: route("/x") }, services: { one: service() } },
    change: { services: { set: { one: service([key]) }, delete: [] } },
    gained: 2,
  },
  {
    what: "of one of two services, the other without",
    before: {
      routes: { r: route("/x") },
      services: { one: service([key]), two: service() },
    },
    change: setting({
      r: route("/x", {
        to: [
          { service: "one", weight: 9 },
          { service: "two", weight: 1 },
        ],
      }),
    }),
    lost: 2,
  },
  {
    what: "of a service, where the other one gets nothing",
    before: { routes: { r: route("/x") }, services: { one: service([key]), two: service() } },
    change: setting({
      r: route("/x", {
        to: [
          { service: "one", weight: 1 },
          { service: "two", weight: 0 },
        ],
      }),
    }),
  },
  {
    what: "by a name that means something else",
    before: {
      routes: { r: route("/x", { use: [{ name: "signed-in" }] }) },
      middlewares: { "signed-in": { entry: { name: "jwt", settings: { secret: "s".repeat(32) } } } },
    },
    change: { middlewares: { set: { "signed-in": { entry: { name: "request-id" } } }, delete: [] } },
    lost: 2,
  },
  {
    what: "with settings that let everybody pass",
    before: { routes: { r: route("/x", { use: [{ name: "jwt", settings: { secret: "s".repeat(32) } }] }) } },
    change: setting({
      r: route("/x", { use: [{ name: "jwt", settings: { secret: "s".repeat(32), optional: true } }] }),
    }),
    lost: 2,
  },
  {
    what: "that runs for some requests only",
    before: { routes: { r: route("/x", { use: [key] }) } },
    change: setting({ r: route("/x", { use: [{ ...key, when: { methods: ["GET"] } }] }) }),
    lost: 1,
  },
  {
    what: "by a plugin that says so",
    before: { routes: { r: route("/x") } },
    change: setting({ r: route("/x", { use: [{ name: "own" }] }) }),
    gained: 2,
  },
  {
    what: "through another route",
    before: { routes: { r: route("/x", { use: [key] }) } },
    change: setting({ r: route("/y", { use: [key] }), s: route("/x") }),
    lost: 2,
  },
];

for (const { what, before, change, lost = 0, gained = 0 } of chains) {
  test(`authentication ${what}: ${lost} requests lose it, ${gained} gain it`, async () => {
    const requests = ["GET", "POST"].map((method) => ({ method, target: "/x", host: "a.test" }));
    const { authentication } = await report(before, change, requests);
    const counts = (lines: readonly { count: number }[]): number => lines.reduce((sum, { count }) => sum + count, 0);
    assert.deepEqual([counts(authentication.lost), counts(authentication.gained)], [lost, gained]);
    const [line] = [...authentication.lost, ...authentication.gained];
    if (line !== undefined) assert.match(line.example, /^(GET|POST) a\.test\/x$/);
  });
}

test("conditions on headers and cookies are judged as they were for the request itself", async () => {
  const routes = {
    team: route("/x", { match: [{ path: "/x", headers: { "x-team": { equals: "a" } } }] }),
    dark: route("/x", { match: [{ path: "/x", cookies: { theme: { equals: "dark" } } }] }),
  };
  const requests = [
    { target: "/x", headers: { "x-team": "a" } },
    { target: "/x", headers: { "X-Team": "b" } },
    { target: "/x", headers: { cookie: "sid=1; theme=dark" } },
  ];
  const told = await report({ routes }, setting({}, ["team", "dark"]), requests);
  assert.deepEqual(
    told.notFound.map(({ from, count }) => [from, count]),
    [
      ["team", 1],
      ["dark", 1],
    ],
  );
});

test("what a change looks at and nobody remembered is named", async () => {
  const routes = { r: route("/x", { match: [{ path: "/x", headers: { known: { exists: true } } }] }) };
  const match = { headers: { known: { exists: true }, "X-New": { exists: true } }, cookies: { c: { exists: true } } };
  const change = {
    ...setting({ r: route("/x", { match: [match] }) }),
    global: [{ name: "key-auth", when: { clients: ["10.0.0.0/8"] } }],
  };
  const told = await report({ routes }, change, targets("/x"));
  assert.deepEqual(told.unseen, ["headers.x-new", "cookies.c", "clients"]);
  assert.equal((await report({ routes }, change, [])).unseen, undefined);
});

test("a request whose target is none any more is left out", () => {
  const shape: RequestShape = {
    atMs: 0,
    method: "GET",
    target: "/%0",
    host: "",
    scheme: "http",
    client: "",
    fields: [],
  };
  const told = replay([shape, { ...shape, target: "/a" }], () => [{ route: "r", authenticates: false }], () => []); // prettier-ignore
  assert.equal(told.requests, 1);
});
