import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import type { Kind } from "../control/layout.ts";
import { problem, run } from "./cli.fixtures.ts";
import { summaryOf } from "./summary.ts";

function item(name: string, value: unknown, rest: object = {}) {
  return {
    kind: "routes",
    name,
    source: "store",
    key: `/headgate/routes/${name}`,
    revision: 12,
    value,
    live: true,
    problems: [],
    ...rest,
  };
}

const error = {
  severity: "error",
  path: "routes.bad.to",
  message: "there is no service",
  key: "/headgate/routes/bad",
  revision: 13,
};
const items = [
  item("a", { match: { path: "/a", methods: ["GET"] }, to: "s" }),
  item("bad", 7, { live: false, revision: 13, problems: [error] }),
  item("new", {}, { live: false, revision: 14 }),
  item(
    "file",
    { respond: {} },
    {
      source: "file",
      key: null,
      revision: null,
      problems: [{ severity: "warning", path: "routes.file", message: "is odd" }],
    },
  ),
];

test("get prints a line for each resource, and what is wrong with some", async (t) => {
  const { asked, code, out } = await run(t, { "GET /v1/routes": [200, { revision: 14, items }] }, ["get", "route"]);
  assert.deepEqual([code, asked[0]?.query], [0, { details: "true" }]);
  assert.deepEqual(out.split("\n"), [
    "NAME  REVISION  STATE            WHAT",
    "a     12        live             GET /a -> s",
    "bad   13        rejected         any path",
    "new   14        not live yet     any path",
    "file  file      live, 1 warning  any path -> answers 200",
    "",
    "/headgate/routes/bad (revision 13): routes.bad.to: there is no service",
    "routes.file: warning: is odd",
    "",
  ]);
});

test("get of nothing says so", async (t) => {
  const { code, out } = await run(t, { "GET /v1/plugins": [200, { revision: 1, items: [] }] }, ["get", "plugins"]);
  assert.deepEqual([code, out], [0, "There are no plugins.\n"]);
});

test("get -o json and -o yaml print the values as the gateway answers them", async (t) => {
  const routes = { a: { match: { path: "/a" }, to: "s" } };
  for (const [format, read] of [
    ["json", (text: string): unknown => JSON.parse(text)],
    ["yaml", (text: string): unknown => parse(text)],
  ] as const) {
    const { asked, out } = await run(t, { "GET /v1/routes": [200, routes] }, ["get", "routes", "-o", format]);
    assert.deepEqual([asked[0]?.query, read(out)], [{}, routes]);
    const one = await run(t, { "GET /v1/routes/a": [200, routes.a] }, ["get", "routes", "a", "-o", format]);
    assert.deepEqual(read(one.out), routes.a);
  }
});

test("one resource is shown to people as YAML, without secrets and escape sequences", async (t) => {
  const value = { match: { path: "/a\u001b[31m" }, use: [{ jwt: { secret: "hush-hush" } }], to: "s" };
  const { out } = await run(t, { "GET /v1/routes/a": [200, item("a", value)] }, ["get", "routes", "a"]);
  assert.match(out, /^# routes\/a, revision 12, live\n# secrets are hidden: -o yaml shows them\nmatch:\n/);
  assert.deepEqual(parse(out), { ...value, match: { path: "/a\ufffd[31m" }, use: [{ jwt: { secret: "[redacted]" } }] });
  const bad = await run(t, { "GET /v1/routes/bad": [200, items[1]] }, ["get", "routes", "bad"]);
  assert.match(
    bad.out,
    /^# routes\/bad, revision 13, rejected\n# \/headgate\/routes\/bad \(revision 13\): routes\.bad\.to: there is no service\n7\n/,
  );
  const row = await run(t, { "GET /v1/routes/a": [200, items[0]] }, ["get", "routes", "a", "-o", "table"]);
  assert.match(row.out, /^NAME .*\na +12 +live +GET \/a -> s\n$/);
});

test("a resource that is not there ends in 1, with the one that may be meant", async (t) => {
  const answers = { "GET /v1/routes/usrs": problem(404, "None."), "GET /v1/routes": [200, { users: {} }] } as const;
  const near = await run(t, answers, ["get", "routes", "usrs"]);
  assert.deepEqual([near.code, near.err], [1, 'headgate: There is no routes/usrs; did you mean "users"?\n']);
  const far = await run(t, { ...answers, "GET /v1/routes": [200, {}] }, ["get", "routes", "usrs", "-o", "json"]);
  assert.match(far.err, /There is no routes\/usrs; headgate get routes lists/);
  assert.equal((JSON.parse(far.out) as { status: number }).status, 404);
});

for (const [kind, value, expected] of [
  [
    "routes",
    {
      match: [{ hosts: ["a.test", "b.test"], path: "/x" }, { methods: ["GET", "PUT"] }],
      to: [{ service: "a", weight: 9 }, "b"],
    },
    "a.test,b.test/x or GET,PUT any path -> a (9), b",
  ],
  ["routes", { match: { hosts: ["a.test"] }, respond: { status: 204 } }, "a.test -> answers 204"],
  ["routes", { to: { service: "a" } }, "any path -> a"],
  ["routes", null, "any path"],
  ["services", { instances: [{}, {}], discover: { etcd: "users" } }, "2 instances, etcd users"],
  ["services", { discover: { consul: { service: "users", token: "t" } } }, "consul users"],
  ["services", "x", ""],
  ["middlewares", { jwt: {}, when: {} }, "jwt"],
  ["middlewares", "cors", "cors"],
  [
    "consumers",
    { keys: ["a"], groups: ["gold", "eu"], jwt: { subject: "ann" } },
    "1 key, subject ann, groups gold, eu",
  ],
  ["certificates", { hosts: ["a.test"] }, "a.test"],
  ["plugins", { source: "a\nb\n" }, "2 lines"],
  ["plugins", "./greet.ts", "./greet.ts"],
  ["settings", ["request-id", { cors: {} }], "request-id, cors"],
] as const satisfies readonly (readonly [Kind, unknown, string])[]) {
  test(`${kind} of ${JSON.stringify(value)} are about ${JSON.stringify(expected)}`, () => {
    assert.equal(summaryOf(kind, value), expected);
  });
}
