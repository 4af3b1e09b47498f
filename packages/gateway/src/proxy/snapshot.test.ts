import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteResource, ServiceResource } from "@headgate/schema";
import { z } from "zod";
import { silentLog } from "../core/log.ts";
import { Wheel } from "../core/wheel.ts";
import { Metrics } from "../telemetry/metrics.ts";
import type { Kit, MiddlewareDefinition } from "./middleware.ts";
import { defineMiddleware } from "./middleware.ts";
import { Exchange, ExchangeRequest } from "./exchange.ts";
import { Fields } from "./http1/fields.ts";
import { matchRoute } from "./match.ts";
import type { ForwardTo } from "./route.ts";
import { Live } from "./snapshot.ts";
import type { SnapshotChange } from "./snapshot.ts";
import { Instances } from "./upstream/instances.ts";

const client = { ip: "127.0.0.1", port: 1, peer: "127.0.0.1", scheme: "http", localPort: 80 } as const;

function setup() {
  const events: string[] = [];
  const tag = defineMiddleware({
    name: "tag",
    config: z.strictObject({ as: z.string() }),
    build({ as }, kit) {
      if (as === "broken") throw new Error("as must not be broken");
      events.push(`build ${kit.identity} ${as}`);
      return {
        handle(exchange, next) {
          exchange.attributes.set("tags", [...((exchange.attributes.get("tags") as string[] | undefined) ?? []), as]); // ours
          return next();
        },
        dispose: () => events.push(`dispose ${as}`),
      };
    },
  });
  const cors = defineMiddleware({ name: "cors", config: z.strictObject({}), build: () => (_, next) => next() });
  const definitions = new Map<string, MiddlewareDefinition>([
    ["tag", tag],
    ["cors", cors],
  ]);
  const clock = { now: () => 0, wall: () => 0 };
  const context = {
    clock,
    random: () => 0,
    wheel: new Wheel(0),
    metrics: new Metrics(() => {}),
    workers: 1,
    workerId: 1,
    zone: undefined,
    onEvent() {},
  };
  const kit = (identity: string) => ({ identity, clock, random: () => 0, log: silentLog }) as unknown as Kit; // all that `tag` reads
  // A version of a plugin is `tag` under its digest's name.
  const live = new Live(
    new Instances(context),
    { kit },
    definitions,
    ({ sha256 = "" }) =>
      sha256 === "broken"
        ? Promise.reject(new Error("the plugin has no default export"))
        : Promise.resolve({
            ...tag,
            config: z.strictObject({ as: z.string() }).transform(({ as }) => ({ as: `${as} ${sha256}` })),
          } as unknown as MiddlewareDefinition), // another schema with the same output
  );
  const forwarded: string[] = [];
  const forward: ForwardTo = (exchange, service) => {
    forwarded.push(service.name);
    exchange.respond({ status: 200, body: service.name });
    return Promise.resolve();
  };
  const apply = async (change: Omit<SnapshotChange, "revision">) =>
    (await live.prepare({ revision: 1, ...change })).commit();
  const request = async (method: string, path: string, headers: Record<string, string> = {}) => {
    const exchange = new Exchange(
      new ExchangeRequest({
        method,
        target: path,
        host: "a",
        headers: Fields.from(headers),
        matchPath: path,
        path,
        search: "",
        framing: "none",
        contentLength: -1,
      }),
      client,
      () => "id",
    );
    const matched = matchRoute(live.router, exchange);
    if (!("error" in matched)) await matched.route.chain(forward, () => 0)(exchange);
    return { exchange, matched, tags: exchange.attributes.get("tags") };
  };
  return { live, events, forwarded, apply, request };
}

const set = <T>(resources: Record<string, T>) => ({ set: resources, delete: [] });
const gone = (...names: string[]) => ({ set: {}, delete: names });
const hello: RouteResource = {
  match: [{ path: "/hello" }],
  use: [],
  respond: { status: 200, headers: {}, body: "hi" },
  priority: 0,
};
const service = (address: string): ServiceResource => ({
  instances: [{ address, weight: 1 }],
  protocol: "http",
  balance: { policy: "round-robin" },
  use: [],
  timeouts: { connectMs: 1, firstByteMs: 1, idleMs: 1 },
  retry: { attempts: 0, on: [], budgetRatio: 0, backoffMs: 0 },
  pool: { max: 1, idleMs: 1 },
});

test("steps run in the order global, route, service", async () => {
  const { apply, request } = setup();
  await apply({
    global: [{ name: "tag", settings: { as: "global" } }],
    services: set({ s: { ...service("127.0.0.1:1"), use: [{ name: "tag", settings: { as: "service" } }] } }),
    routes: set({
      r: {
        match: [{ path: "/r" }],
        use: [{ name: "tag", settings: { as: "route" } }],
        to: [{ service: "s", weight: 1 }],
        priority: 0,
      },
    }),
  });
  assert.deepEqual((await request("GET", "/r")).tags, ["global", "route", "service"]);
});

test("a changed named configuration is live for every route that names it, and the old one is disposed of", async () => {
  const { apply, request, events } = setup();
  await apply({
    middlewares: set({ named: { entry: { name: "tag", settings: { as: "old" } } } }),
    routes: set({
      a: { ...hello, match: [{ path: "/a" }], use: [{ name: "named" }] },
      b: { ...hello, match: [{ path: "/b" }], use: [{ name: "named" }] },
    }),
  });
  assert.deepEqual((await request("GET", "/a")).tags, ["old"]);
  await apply({ middlewares: set({ named: { entry: { name: "tag", settings: { as: "new" } } } }) });
  assert.deepEqual([(await request("GET", "/a")).tags, (await request("GET", "/b")).tags], [["new"], ["new"]]);
  assert.deepEqual(events, ["build middlewares/named old", "build middlewares/named new", "dispose old"]);
});

test("what is retired is disposed of when the last exchange that began before has ended", async () => {
  const { live, apply, events } = setup();
  await apply({ routes: set({ a: { ...hello, use: [{ name: "tag", settings: { as: "first" } }] } }) });
  const before = live.enter();
  await apply({ routes: gone("a") });
  const after = live.enter();
  assert.deepEqual(events, ["build routes/a/use/0 first"]);
  live.leave(after);
  assert.deepEqual(events.length, 1);
  live.leave(before);
  assert.deepEqual(events.at(-1), "dispose first");
});

test("a plugin's new version takes over wherever it is used, and the old one is disposed of after its last exchange", async () => {
  const { live, apply, request, events } = setup();
  const use = (as: string) => ({ name: "mine", settings: { as } });
  const plugin = (sha256: string) => ({ plugins: set({ mine: { source: "...", sha256, module: "..." } }) });
  await apply({
    ...plugin("v1"),
    global: [use("global")],
    middlewares: set({ named: { entry: use("named") } }),
    services: set({ s: { ...service("127.0.0.1:1"), use: [use("service")] } }),
    routes: set({
      r: {
        match: [{ path: "/r" }],
        use: [{ name: "named" }, use("route")],
        to: [{ service: "s", weight: 1 }],
        priority: 0,
      },
      other: hello,
    }),
  });
  const places = ["global", "named", "route", "service"];
  const tags = async () => (await request("GET", "/r")).tags;
  assert.deepEqual(
    await tags(),
    places.map((place) => `${place} v1`),
  );
  const before = live.enter();
  events.length = 0;
  await apply(plugin("v2"));
  assert.deepEqual(
    await tags(),
    places.map((place) => `${place} v2`),
  );
  assert.deepEqual(
    events.filter((event) => event.startsWith("dispose")),
    [],
  );
  live.leave(before);
  const disposed = events.filter((event) => event.startsWith("dispose")).sort();
  assert.deepEqual(
    disposed,
    places.map((place) => `dispose ${place} v1`),
  );
});

test("a plugin's version that does not load leaves the old one at work", async () => {
  const { live, apply, request, events } = setup();
  await apply({
    plugins: set({ mine: { source: "...", sha256: "v1", module: "..." } }),
    routes: set({ a: { ...hello, use: [{ name: "mine", settings: { as: "mine" } }] } }),
  });
  const broken = { plugins: set({ mine: { source: "...", sha256: "broken", module: "..." } }) };
  await assert.rejects(live.prepare({ revision: 2, ...broken }), /plugins\.mine: the plugin has no default export/);
  assert.deepEqual((await request("GET", "/hello")).tags, ["mine v1"]);
  // Of what was built for the change nothing is left.
  const built = events.filter((event) => event.startsWith("build")).length;
  assert.equal(events.length - built, built - 1);
});

test("a change that cannot be built changes nothing and disposes of what it had built", async () => {
  const { live, apply, request, events } = setup();
  await apply({ routes: set({ a: hello }) });
  const change = {
    revision: 2,
    global: [{ name: "tag", settings: { as: "fine" } }],
    routes: set({ a: { ...hello, use: [{ name: "tag", settings: { as: "broken" } }] } }),
  };
  await assert.rejects(live.prepare(change), /routes\.a\.use\.0: tag: as must not be broken/);
  assert.deepEqual(events, ["build global/0 fine", "dispose fine"]);
  assert.equal((await request("GET", "/hello")).tags, undefined);
  assert.equal(live.revision, 1);
});

test("settings and regular expressions that are not valid name their place", async () => {
  const { live } = setup();
  const prepare = (route: Partial<RouteResource>) =>
    live.prepare({ revision: 1, routes: set({ a: { ...hello, ...route } }) });
  await assert.rejects(prepare({ use: [{ name: "tag", settings: {} }] }), /routes\.a\.use\.0: tag\.as/);
  await assert.rejects(prepare({ use: [{ name: "nothing" }] }), /there is no middleware "nothing"/);
  await assert.rejects(prepare({ match: [{ headers: { a: { regex: "(" } } }] }), /routes\.a\.match/);
});

test("a preflight for a method the route takes runs the chain of a route that has cors; others get 405", async () => {
  const { apply, request } = setup();
  await apply({
    routes: set({
      open: { ...hello, match: [{ path: "/open", methods: ["PUT"] }], use: [{ name: "cors" }] },
      closed: { ...hello, match: [{ path: "/closed", methods: ["PUT"] }] },
    }),
  });
  const preflight = { origin: "https://a", "access-control-request-method": "PUT" };
  const of = async (path: string, headers: Record<string, string>) => {
    const { matched } = await request("OPTIONS", path, headers);
    return { route: matched.route?.name, code: "error" in matched ? matched.error.code : undefined };
  };
  assert.deepEqual(await of("/open", preflight), { route: "open", code: "HG_METHOD_NOT_ALLOWED" });
  assert.deepEqual(await of("/closed", preflight), { route: undefined, code: "HG_METHOD_NOT_ALLOWED" });
  assert.deepEqual(await of("/open", {}), { route: undefined, code: "HG_METHOD_NOT_ALLOWED" });
  assert.deepEqual(await of("/open", { ...preflight, "access-control-request-method": "GET" }), {
    route: undefined,
    code: "HG_METHOD_NOT_ALLOWED",
  });
});

test("weights choose the service, and a weight of zero takes nothing", async () => {
  const { apply, request, forwarded } = setup();
  await apply({
    services: set({ a: service("127.0.0.1:1"), b: service("127.0.0.1:2") }),
    routes: set({
      r: {
        match: [{}],
        use: [],
        to: [
          { service: "a", weight: 0 },
          { service: "b", weight: 5 },
        ],
        priority: 0,
      },
    }),
  });
  await request("GET", "/");
  assert.deepEqual(forwarded, ["b"]);
});
