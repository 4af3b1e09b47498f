import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { validateDocument } from "./index.ts";
import { service, told, withRoute, withService } from "./validate.fixtures.ts";

test("a document that says nothing gets every default", () => {
  for (const nothing of [{}, null, undefined, { routes: null, gateway: null, global: null }]) {
    const { value, problems } = validateDocument(nothing);
    assert.deepEqual(problems, []);
    assert.deepEqual(value, {
      gateway: {
        listen: [{ address: "0.0.0.0:8080" }],
        admin: { address: "127.0.0.1:9080" },
        workers: "auto",
        dataDir: "./data",
        trustedProxies: [],
        timeouts: { requestHeadMs: 10_000, requestBodyIdleMs: 30_000, keepAliveMs: 75_000, drainMs: 30_000 },
        limits: { requestHeadBytes: 32_768, headers: 100, uriBytes: 8192, connections: 20_000 },
        accessLog: { path: "-", format: "json" },
        registry: { prefix: "/services/" },
        queue: { store: "embedded", messages: 100_000, bytes: 1024 ** 3, deadLetters: 10_000 },
        overload: { utilizationRatio: 0.95, delayMs: 100 },
      },
      resources: { routes: {}, services: {}, middlewares: {}, consumers: {}, plugins: {}, global: [] },
    });
  }
});

test("shorthands, units and cases become one form", () => {
  const { value, problems } = validateDocument({
    gateway: { listen: [{ address: ":8081" }], limits: { uri: 4096 } },
    global: ["request-id", { "access-log": null, when: { methods: ["GET"] } }],
    middlewares: { "signed-in": { jwt: { secret: "x" } } },
    routes: {
      users: {
        match: {
          hosts: ["API.example.com"],
          path: "/u/*",
          headers: { "X-A": "1", b: { regex: "^a" }, c: { exists: false } },
        },
        use: [{ "strip-prefix": "/u" }],
        to: "s",
        fallback: { respond: { status: 503, body: "later" } },
        timeout: "10s",
      },
      hello: { match: [{ path: "/a" }, { path: "/b" }], respond: { body: "hi" }, priority: -1 },
    },
    services: {
      s: { instances: [{ address: "Host:80", weight: 0, zone: "a" }], retry: { on: [502, "503"], perTry: "3s" } },
    },
    consumers: { alice: { keys: ["k"], jwt: { subject: "alice" } } },
    plugins: { greet: "./greet.ts", other: { path: "o.ts" } },
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(value?.gateway.listen, [{ address: "0.0.0.0:8081" }]);
  assert.equal(value.gateway.limits.uriBytes, 4096);
  assert.deepEqual(value.resources, {
    global: [{ name: "request-id" }, { name: "access-log", when: { methods: ["GET"] } }],
    middlewares: { "signed-in": { entry: { name: "jwt", settings: { secret: "x" } } } },
    routes: {
      users: {
        match: [
          {
            hosts: ["api.example.com"],
            path: "/u/*",
            headers: { "x-a": { equals: "1" }, b: { regex: "^a" }, c: { exists: false } },
          },
        ],
        use: [{ name: "strip-prefix", settings: "/u" }],
        to: [{ service: "s", weight: 1 }],
        fallback: { respond: { status: 503, headers: {}, body: "later" } },
        timeoutMs: 10_000,
        priority: 0,
      },
      hello: {
        match: [{ path: "/a" }, { path: "/b" }],
        use: [],
        respond: { status: 200, headers: {}, body: "hi" },
        priority: -1,
      },
    },
    services: {
      s: {
        instances: [{ address: "host:80", weight: 0, zone: "a" }],
        protocol: "http",
        balance: { policy: "peak-ewma" },
        panicThreshold: 0.5,
        outlierDetection: { maxEjectedRatio: 0.5, baseMs: 30_000, maxMs: 300_000, consecutive: 5, intervalMs: 10_000 },
        timeouts: { connectMs: 2000, firstByteMs: 15_000, idleMs: 60_000 },
        retry: { attempts: 1, on: ["502", "503"], budgetRatio: 0.2, backoffMs: 25, perTryMs: 3000 },
        pool: { max: 256, idleMs: 60_000 },
        use: [],
      },
    },
    consumers: { alice: { keys: ["k"], groups: [], jwt: { subject: "alice" } } },
    plugins: { greet: { path: "./greet.ts" }, other: { path: "o.ts" } },
  });
});

const mistakes: [string, unknown, string[]][] = [
  ["a list for a document", [], [": expected a map of sections, got a list"]],
  ["a mistyped section", { rutes: {} }, ['rutes: unknown key "rutes" (did you mean "routes"?)']],
  [
    "a mistyped key",
    withRoute({ to: "s", tiemout: "1s" }),
    ['routes.r.tiemout: unknown key "tiemout" (did you mean "timeout"?)'],
  ],
  ["a section of the wrong type", { routes: [] }, ["routes: expected a map of names, got a list"]],
  [
    "a number for text",
    { consumers: { a: { keys: [5] } } },
    ["consumers.a.keys[0]: expected text, got a number (put it in quotes)"],
  ],
  [
    "text for a list",
    withRoute({ to: "s", match: { hosts: "a" } }),
    ["routes.r.match.hosts: expected a list, got text (write a list: [ ... ])"],
  ],
  [
    "a missing key",
    { services: { s: { instances: [{ weight: 1 }] } } },
    ["services.s.instances[0].address: is missing: expected text"],
  ],
  [
    "a wrong worker count",
    { gateway: { workers: "many" } },
    ['gateway.workers: expected "auto" or a number, got text'],
  ],
  [
    "a mistyped choice",
    { gateway: { accessLog: { format: "jsn" } } },
    ['gateway.accessLog.format: expected one of "json", "combined", "ecs", "off" (did you mean "json"?)'],
  ],
  [
    "a mistyped retry condition",
    withService({ retry: { on: ["conect"] } }),
    ['services.s.retry.on[0]: expected "connect", "reset", "timeout" or a status from 400 to 599'],
  ],
  [
    "a route that goes nowhere",
    withRoute({}),
    ['routes.r: goes nowhere: it needs "to" or "respond" (name a service under to, or answer with respond)'],
  ],
  [
    "a route that goes two ways",
    withRoute({ to: "s", respond: {} }),
    ['routes.r.respond: a route has either "to" or "respond" (remove one of the two)'],
  ],
  [
    "weights of nothing",
    withRoute({ to: [{ service: "s", weight: 0 }] }),
    ["routes.r.to: the weights add up to 0: no service would take a request (give one a weight above 0)"],
  ],
  [
    "a negative weight",
    withRoute({ to: [{ service: "s", weight: -1 }] }),
    ["routes.r.to[0].weight: must be at least 0"],
  ],
  ["an empty destination list", withRoute({ to: [] }), ["routes.r.to: must not be empty"]],
  [
    "a fallback of nothing",
    withRoute({ to: "s", fallback: {} }),
    ['routes.r.fallback: a fallback has exactly one of "service" and "respond"'],
  ],
  [
    "a body where there is none",
    withRoute({ respond: { status: 204, body: "x" } }),
    ["routes.r.respond.body: an answer with status 204 has no body (remove the body or choose another status)"],
  ],
  [
    "a framing header",
    withRoute({ respond: { headers: { "Content-Length": "1" } } }),
    ['routes.r.respond.headers.Content-Length: "Content-Length" is set by the gateway itself (remove it)'],
  ],
  [
    "a header value with a line break",
    withRoute({ respond: { headers: { a: "b\r\nc: d" } } }),
    ["routes.r.respond.headers.a: holds a control character or a line break"],
  ],
  [
    "a header name with a space",
    withRoute({ to: "s", match: { headers: { "a b": "1" } } }),
    ['routes.r.match.headers["a b"]: "a b" is not a valid header name'],
  ],
  [
    "a condition with two meanings",
    withRoute({ to: "s", match: { query: { a: { exists: true, regex: "b" } } } }),
    ['routes.r.match.query.a: a condition is a text, or exactly one of "regex" and "exists"'],
  ],
  [
    "one header twice",
    withRoute({ to: "s", match: { headers: { a: "1", A: "2" } } }),
    ['routes.r.match.headers.A: the header "a" has two conditions'],
  ],
  ["a fraction of a priority", withRoute({ to: "s", priority: 1.5 }), ["routes.r.priority: expected a whole number"]],
  [
    "two middlewares in a step",
    { global: [{ a: 1, b: 2 }] },
    ['global[0]: one step has one middleware, found "a", "b" (make each its own entry of the list)'],
  ],
  [
    "a step of nothing",
    { global: [{ when: {} }] },
    ["global[0]: names no middleware (write a name, or a map such as { strip-prefix: /api })"],
  ],
  [
    "a wrong condition of a step",
    { global: [{ cors: {}, when: { path: "x" } }] },
    ['global[0].when.path: the path must start with "/"'],
  ],
  [
    "conditions in a named configuration",
    { middlewares: { m: { cors: {}, when: {} } } },
    [
      'middlewares.m.when: "when" has no place in a named configuration (write "when" beside the name in the chain that uses it)',
    ],
  ],
  [
    "an instance twice",
    withService({ instances: [{ address: "a:1" }, { address: "A:1" }] }),
    ['services.s.instances[1].address: "a:1" is listed twice (remove it, or raise the weight of entry 0)'],
  ],
  [
    "an address twice",
    { gateway: { listen: [{ address: ":80" }], admin: { address: "0.0.0.0:80" } } },
    ['gateway.admin.address: "0.0.0.0:80" is already listened on'],
  ],
  [
    "a key of two consumers",
    { consumers: { a: { keys: ["topsecret"] }, b: { keys: ["topsecret"] } } },
    ['consumers.b.keys[0]: the key is also one of consumer "a" (give each key to one consumer, once)'],
  ],
  ["an empty key", { consumers: { a: { keys: [""] } } }, ["consumers.a.keys[0]: must not be empty"]],
  [
    "a name that is no name",
    { services: { "a/b": service } },
    [
      'services.a/b: the name "a/b" is not valid: expected 1 to 128 letters, digits, ".", "_" or "-", the first a letter or digit',
    ],
  ],
];
for (const [name, input, problems] of mistakes) {
  test(`${name} is refused`, () => {
    assert.deepEqual(told(input), problems);
    assert.equal(validateDocument(input).value, undefined);
  });
}

const planned: [unknown, string][] = [
  [{ certificates: {} }, "certificates: TLS is not available in this version"],
  [
    { gateway: { listen: [{ address: ":80", tls: {} }] } },
    "gateway.listen[0].tls: TLS is not available in this version",
  ],
  [{ gateway: { tracing: {} } }, "gateway.tracing: tracing is not available in this version"],
  [withService({ protocol: "h2c" }), "services.s.protocol: this protocol is not available in this version"],
  [withService({ tls: {} }), "services.s.tls: TLS to instances is not available in this version"],
];
for (const [input, message] of planned) {
  test(`what is not built yet is refused with a way out: ${message.split(":")[0]}`, () => {
    const problems = told(input);
    assert.equal(problems.length, 1);
    assert.ok(problems[0]?.startsWith(`${message} (remove `), problems[0]);
  });
}

test("every problem of a document is told, not the first", () => {
  const problems = told({
    routes: { a: { to: 5, x: 1 }, b: { respond: { status: 9 } } },
    services: { s: { pool: { max: 0 } } },
    z: 1,
  });
  assert.equal(problems.filter((problem) => !problem.startsWith("warning")).length, 5, problems.join("\n"));
});

test("a service without instances is a warning and the document stands", () => {
  const { value, problems } = validateDocument({ services: { s: {} } });
  assert.deepEqual(
    problems.map(({ severity }) => severity),
    ["warning"],
  );
  assert.notEqual(value, undefined);
});

test("a route hidden behind another one with the same conditions is a warning", () => {
  const match = { hosts: ["a.b"], path: "/x/:id", methods: ["GET", "POST"], headers: { a: "1", b: "2" } };
  const same = { hosts: ["A.b"], path: "/x/:name", methods: ["POST"], headers: { B: "2", A: "1" } };
  const routes = { first: { match, to: "s" }, second: { match: same, to: "s" } };
  assert.deepEqual(told({ routes, services: { s: service } }), [
    'warning: routes.second: can never be reached: "first" takes the same requests and comes first (give it a higher priority, other conditions, or remove it)',
  ]);
  const raised = { ...routes, second: { match: same, to: "s", priority: 1 } };
  assert.deepEqual(told({ routes: raised, services: { s: service } }), []);
});

test("routes that differ in a condition or an alternative are not called unreachable", () => {
  const routes = {
    a: { match: { path: "/x" }, to: "s" },
    b: { match: [{ path: "/x" }, { path: "/y" }], to: "s" },
    c: { match: { path: "/x", query: { q: "1" } }, to: "s" },
    d: { match: { path: "/x/*" }, to: "s" },
  };
  assert.deepEqual(told({ routes, services: { s: service } }), []);
});

test("no value, however odd, makes validation throw", () => {
  const known = fc.constantFrom(
    "gateway",
    "routes",
    "services",
    "match",
    "use",
    "to",
    "respond",
    "instances",
    "retry",
    "when",
    "__proto__",
    "constructor",
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 6 },
      fc.jsonValue({ maxDepth: 2 }),
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(fc.oneof(known, fc.string()), tie("tree"), { maxKeys: 5 }),
    ),
  }));
  const section = fc.dictionary(fc.string(), tree, { maxKeys: 3 });
  const document = fc.oneof(
    tree,
    fc.record(
      {
        gateway: tree,
        global: tree,
        routes: section,
        services: section,
        middlewares: section,
        consumers: section,
        plugins: section,
      },
      { requiredKeys: [] },
    ),
  );
  fc.assert(
    fc.property(document, (input) => {
      const { value, problems } = validateDocument(input);
      assert.equal(
        value === undefined,
        problems.some(({ severity }) => severity === "error"),
      );
      for (const { message } of problems) assert.ok(message !== "" && !message.includes("\u0000"));
    }),
    { numRuns: 500 },
  );
});

test("of very many problems of one resource the first hundred are told, and that there are more", () => {
  for (const written of [
    { match: { methods: new Array(5_000).fill(1) }, respond: { status: 200 } },
    { ...Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`k${index}`, 1])), respond: { status: 200 } },
  ]) {
    const { problems } = validateDocument({ routes: { r: { match: {}, ...written } } });
    assert.equal(problems.length, 101);
    assert.deepEqual(problems[100], {
      path: ["routes", "r"],
      message: "has more than 100 problems",
      severity: "error",
    });
  }
});
