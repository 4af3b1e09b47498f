import assert from "node:assert/strict";
import { test } from "node:test";
import { validateDocument } from "./index.ts";
import { told, withRoute, withService } from "./validate.fixtures.ts";

const policyMistakes: [string, unknown, string][] = [
  ["a policy that there is not", { balance: "fastest" }, 'services.s.balance: expected "peak-ewma"'],
  [
    "two ways to balance",
    { balance: { hash: { client: true }, sticky: {} } },
    "services.s.balance: a map has exactly one",
  ],
  ["a hash of nothing", { balance: { hash: {} } }, "services.s.balance.hash: needs exactly one of header, cookie"],
  ["a check of nothing", { healthCheck: {} }, 'services.s.healthCheck: needs exactly one of "path" and "tcp"'],
  ["a path that is none", { healthCheck: { path: "healthz" } }, 'services.s.healthCheck.path: "healthz" is not a path'],
  [
    "a host that would end its line",
    { healthCheck: { path: "/", host: "a\nb" } },
    "services.s.healthCheck.host: holds a control character",
  ],
  ["a body of a TCP check", { healthCheck: { tcp: true, body: "ok" } }, "services.s.healthCheck.body: a TCP check"],
  [
    "a limit that is two",
    { concurrency: { limit: 5, adaptive: true } },
    "services.s.concurrency: a map has exactly one",
  ],
  ["limits of a limit", { concurrency: { limit: 5, max: 9 } }, 'services.s.concurrency: "min", "max" and "initial"'],
  ["bounds the wrong way", { concurrency: { adaptive: true, min: 9, max: 5 } }, "services.s.concurrency.min: is above"],
];
for (const [name, policies, problem] of policyMistakes) {
  test(`a service with ${name} is refused`, () => {
    const problems = told(withService(policies as object));
    assert.equal(problems.length, 1);
    assert.ok(problems[0]?.startsWith(problem), problems[0]);
  });
}

test("the policies of a service are read with their units and defaults", () => {
  const { value, problems } = validateDocument(
    withService({
      balance: { hash: { header: "X-User", loadFactor: 1.25 } },
      circuitBreaker: {},
      outlierDetection: false,
      healthCheck: { path: "/healthz", status: [200, "3xx", "401-403"] },
      concurrency: 7,
      hedging: { after: "50ms" },
      panicThreshold: 0,
      slowStart: "10s",
      preferZone: false,
    }),
  );
  assert.deepEqual(problems, []);
  const service = value?.resources.services["s"];
  assert.ok(service !== undefined);
  const { balance, circuitBreaker, healthCheck, concurrency, hedging, ...rest } = service;
  assert.deepEqual(balance, { policy: "hash", key: { from: "header", name: "x-user" }, loadFactor: 1.25 });
  assert.deepEqual(circuitBreaker, {
    ...{ failureRatio: 0.5, windowMs: 10_000, minRequests: 20, consecutive: 5, openMs: 5_000, openMaxMs: 20_000 },
    ...{ slowRatio: 0.8, halfOpenRequests: 3 },
  });
  assert.deepEqual(healthCheck?.statuses, [
    { from: 200, to: 200 },
    { from: 300, to: 399 },
    { from: 401, to: 403 },
  ]);
  assert.deepEqual(concurrency, { type: "fixed", limit: 7 });
  assert.deepEqual(hedging, { afterMs: 50, max: 1 });
  assert.equal(rest.slowStartMs, 10_000);
  assert.deepEqual(
    ["outlierDetection", "panicThreshold"].map((key) => key in rest),
    [false, false],
  );
  const sticky = validateDocument(withService({ balance: { sticky: {} }, concurrency: { adaptive: true, max: 10 } }));
  const other = sticky.value?.resources.services["s"];
  assert.deepEqual(other?.balance, { policy: "sticky", cookie: "hg", path: "/", secure: false });
  assert.deepEqual(other.concurrency, { type: "adaptive", min: 1, max: 10, initial: 10 });
});

test("a route that is delivered later says how, and has one service", () => {
  const { value } = validateDocument(withRoute({ to: "s", delivery: "async", importance: "low" }));
  const route = value?.resources.routes["r"];
  const defaults = { deadlineMs: 86_400_000, backoffMs: 1_000, backoffMaxMs: 600_000, bodyBytesMax: 1_048_576 };
  assert.deepEqual([route?.delivery, route?.importance], [defaults, "low"]);
  const two = [{ service: "s" }, { service: "t" }];
  const mistakes = [
    { respond: {}, delivery: "async" },
    { to: two, delivery: {} },
  ].map((rest) => told(withRoute(rest)));
  assert.deepEqual(mistakes, [
    ['routes.r.delivery: has no use beside "respond": nothing is delivered (remove delivery)'],
    ["routes.r.delivery: needs one service that messages go to (name one service under to, or remove delivery)"],
  ]);
});

test("a queue in Redis needs one", () => {
  const of = (gateway: object) => validateDocument({ gateway }).problems.map(({ message }) => message);
  assert.deepEqual(of({ queue: { store: "redis" } }), ["the queue is to be in Redis, and no Redis is named"]);
  assert.deepEqual(of({ queue: { store: "redis" }, redis: { url: "redis://127.0.0.1:6379" } }), []);
  assert.deepEqual(of({ queue: { store: "embedded" } }), []);
  const { value } = validateDocument({ gateway: { queue: { secret: "0123456789abcdef" } } });
  assert.equal(value?.gateway.queue?.secret, "0123456789abcdef");
  assert.equal(of({ queue: { secret: "short" } }).length, 1);
});
