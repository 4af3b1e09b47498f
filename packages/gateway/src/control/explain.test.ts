import assert from "node:assert/strict";
import { test } from "node:test";
import type { Resources, RouteResource, ServiceResource } from "@headgate/schema";
import { explain, parseExplainInput, type ExplainInput } from "./explain.ts";
import { routerOf } from "./routing.ts";

const service: ServiceResource = {
  instances: [{ address: "127.0.0.1:3001", weight: 1 }],
  protocol: "http",
  balance: { policy: "round-robin" },
  timeouts: { connectMs: 2000, firstByteMs: 15_000, idleMs: 60_000 },
  retry: { attempts: 1, on: ["connect"], budgetRatio: 0.2, backoffMs: 25 },
  pool: { max: 256, idleMs: 60_000 },
  use: [{ name: "headers", settings: { request: { set: { authorization: "Basic eDp5" } } } }],
};
const route = (match: RouteResource["match"], rest: Partial<RouteResource> = {}): RouteResource => ({
  match,
  use: [],
  to: [{ service: "users", weight: 1 }],
  priority: 0,
  ...rest,
});
const resources: Resources = {
  routes: {
    user: route([{ path: "/users/:id", methods: ["GET"] }], {
      use: [
        { name: "signed-in" },
        {
          name: "rate-limit",
          settings: { limit: 1 },
          when: { methods: ["POST"], headers: { "x-token": { equals: "s3cret" } } },
        },
      ],
      to: [
        { service: "users", weight: 3 },
        { service: "missing", weight: 1 },
      ],
      fallback: { respond: { status: 503, headers: {}, body: "" } },
      timeoutMs: 10_000,
    }),
    users: route([{ path: "/users/*", headers: { "x-version": { equals: "2" } } }, { path: "/users/*" }]),
    other: route([{ hosts: ["other.test"], path: "/users/7" }]),
    hello: route([{ path: "/hello" }], { respond: { status: 204, headers: {}, body: "" } }),
  },
  services: { users: service },
  middlewares: {
    "signed-in": { entry: { name: "jwt", settings: { secret: "hush", jwks: "https://u:pw@id.test/k" } } },
  },
  consumers: {},
  plugins: {},
  global: [{ name: "request-id" }],
};
const ask = (input: Partial<ExplainInput>) =>
  explain({ method: "GET", url: "http://api.test/users/7", ...input }, resources);

test("a route that queues says so", () => {
  const delivery = { deadlineMs: 60_000, backoffMs: 1, backoffMaxMs: 1, bodyBytesMax: 1 };
  const later = route([{ path: "/later" }], { to: [{ service: "users", weight: 1 }], delivery });
  const told = explain({ method: "GET", url: "http://a/later" }, { ...resources, routes: { later } });
  assert.deepEqual(told.route?.delivery, { deadlineMs: 60_000 });
});

test("the route that takes a request is told with its parameters, chain and services", () => {
  const told = ask({ url: "http://API.test:8080/x/../users/%37?q=1#top" });
  assert.deepEqual(told.request, {
    method: "GET",
    target: "/x/../users/%37?q=1",
    host: "api.test",
    path: "/users/7",
    search: "?q=1",
    matchPath: "/users/7",
    client: "127.0.0.1",
  });
  assert.equal(told.outcome, "route");
  assert.deepEqual(told.route, {
    name: "user",
    alternative: 0,
    path: "/users/:id",
    params: { id: "7" },
    priority: 0,
    timeoutMs: 10_000,
  });
  assert.deepEqual(
    told.chain.map(({ scope, name, middleware, runs }) => [scope, name, middleware, runs]),
    [
      ["global", "request-id", "request-id", true],
      ["route", "signed-in", "jwt", true],
      ["route", "rate-limit", "rate-limit", false],
      ["service", "headers", "headers", true],
    ],
  );
  assert.deepEqual(
    told.destinations.map(({ service, exists, share }) => [service, exists, share]),
    [
      ["users", true, 0.75],
      ["missing", false, 0.25],
    ],
  );
  assert.deepEqual(told.destinations[0]?.timeouts, service.timeouts);
  assert.deepEqual(told.fallback, { respond: { status: 503 } });
});

test("candidates stand in order of precedence, each with what passed, and the closest misses behind them", () => {
  const told = ask({ headers: { "X-Version": "1" } });
  assert.deepEqual(
    told.candidates.map(({ route, alternative, verdict }) => [route, alternative, verdict]),
    [
      ["user", 0, "takes"],
      ["users", 0, "fails"],
      ["users", 1, "behind"],
      ["other", 0, "fails"],
    ],
  );
  assert.deepEqual(told.candidates[1]?.predicates, [
    { predicate: "path", expected: "/users/*", actual: "/users/7", pass: true },
    { predicate: "headers.x-version", expected: '"2"', actual: '"1"', pass: false },
  ]);
  assert.equal(told.leftOut, 1);
});

test("a path that no route takes is a 404, a method that none takes a 405 with those that would do", () => {
  const missing = ask({ url: "/nothing" });
  assert.deepEqual([missing.outcome, missing.status, missing.chain, missing.destinations], ["not-found", 404, [], []]);
  const only: Resources = { ...resources, routes: { get: route([{ path: "/x", methods: ["PUT", "GET"] }]) } };
  const refused = explain({ method: "POST", url: "/x" }, only);
  assert.deepEqual([refused.outcome, refused.status, refused.allow], ["method-not-allowed", 405, ["GET", "PUT"]]);
  assert.deepEqual(refused.candidates[0]?.predicates.at(-1), {
    predicate: "method",
    expected: "one of PUT, GET",
    actual: "POST",
    pass: false,
  });
});

test("a path that would be refused is told to be", () => {
  const told = ask({ url: "http://api.test/a/..%5cadmin" });
  assert.deepEqual([told.outcome, told.status], ["bad-request", 400]);
});

test("no secret of the configuration is told", () => {
  const text = JSON.stringify(ask({ headers: { "x-token": "mine" } }));
  for (const secret of ["hush", "u:pw", "eDp5", "s3cret", "mine"]) assert.ok(!text.includes(secret), secret);
  assert.match(text, /"secret":"\[redacted\]"/);
});

test("each part tells where it was written, or the nearest part around it", () => {
  const written = new Map([
    ["routes.user", "a.yaml:3"],
    ["routes.user.match", "a.yaml:4"],
    ["routes.user.use.1", "a.yaml:9"],
    ["middlewares.signed-in", "a.yaml:1"],
    ["services.users", "b.yaml:2"],
    ["services.users.instances.0", "b.yaml:4"],
  ]);
  const told = explain({ method: "GET", url: "/users/7" }, resources, (path) => written.get(path.join(".")));
  assert.equal(told.route?.origin, "a.yaml:3");
  assert.equal(told.candidates[0]?.origin, "a.yaml:4");
  assert.deepEqual([told.chain[1]?.origin, told.chain[1]?.defined], ["a.yaml:3", "a.yaml:1"]);
  assert.equal(told.chain[2]?.origin, "a.yaml:9");
  assert.equal(told.destinations[0]?.origin, "b.yaml:2");
  assert.equal(told.destinations[0]?.instances[0]?.origin, "b.yaml:4");
  assert.equal(told.chain[0]?.origin, undefined);
});

test("where it is known how services and instances are, it is told", () => {
  const state = { state: "unhealthy", reason: "3 checks failed", since: "2026-01-01T00:00:00.000Z" } as const;
  const circuit = { service: "users", state: "open", reason: "60% failed" } as const;
  const told = explain({ method: "GET", url: "/users/7" }, resources, undefined, routerOf(resources), {
    state: (name, address) => (name === "users" && address === "127.0.0.1:3001" ? state : undefined),
    service: (name) => (name === "users" ? { circuit, panic: true } : {}),
  });
  const [users, missing] = told.destinations;
  assert.deepEqual(users?.instances, [{ address: "127.0.0.1:3001", weight: 1, ...state }]);
  assert.deepEqual([users.circuit, users.panic], [circuit, true]);
  assert.deepEqual([missing?.exists, missing?.circuit], [false, undefined]);
});

test("the router that is given is asked, and it tells the same as one that is built for the request", () => {
  const router = routerOf(resources);
  const asked = { method: "GET", url: "http://api.test/users/7" };
  assert.deepEqual(explain(asked, resources, undefined, router), explain(asked, resources));
  router.delete("user");
  assert.equal(explain(asked, resources, undefined, router).route?.name, "users");
});

test("only the first candidates are listed, and the rest is counted", () => {
  const routes = Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`r${i}`, route([{ path: "/x" }])]));
  const told = explain({ method: "GET", url: "/x" }, { ...resources, routes });
  assert.deepEqual([told.route?.name, told.candidates.length, told.leftOut], ["r0", 50, 30]);
});

test("the host comes from the host header before the URL", () => {
  const told = ask({ url: "http://api.test/users/7", headers: { Host: "Other.test:1" } });
  assert.deepEqual([told.request.host, told.route?.name], ["other.test", "other"]);
  assert.equal(ask({ url: "http://[::1]:8080?x" }).request.host, "[::1]");
  assert.equal(ask({ url: "http://[::1]:8080?x" }).request.path, "/");
});

test("what is no request is refused in one sentence", () => {
  const bad: readonly unknown[] = [
    undefined,
    { method: "GET" },
    { method: "G T", url: "/" },
    { method: "GET", url: "/", headers: { "a b": "1" } },
    { method: "GET", url: "/", headers: { a: "1\r\nb: 2" } },
    { method: "GET", url: "/", client: "nobody" },
    { method: "GET", url: "/", extra: 1 },
  ];
  for (const value of bad) assert.throws(() => parseExplainInput(value), TypeError, JSON.stringify(value));
  assert.doesNotThrow(() => parseExplainInput({ method: "GET", url: "/", headers: { a: ["1", "2"] } }));
});
