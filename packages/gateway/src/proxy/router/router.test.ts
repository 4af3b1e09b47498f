import type { Match, TextCondition } from "@headgate/schema";
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientOf, requestOf } from "./router.fixtures.ts";
import { ModelRouter } from "./router.model.ts";
import { routerSuite } from "./router.suite.ts";
import { Router } from "./router.ts";

routerSuite("router", () => new Router());
routerSuite("model", () => new ModelRouter());

// Few values, so that routes collide and requests hit.
const segment = fc.constantFrom("a", "b", ":x", ":y");
const path = fc
  .tuple(fc.array(segment, { maxLength: 3 }), fc.constantFrom("", "/", "/*"))
  .map(
    ([segments, end]) =>
      `${segments.map((text, index) => `/${text}${text.startsWith(":") ? index : ""}`).join("")}${end}` || "/",
  );
const host = fc.constantFrom("a.test", "b.a.test", "*.a.test", "*.test", "*.b.a.test");
const text: fc.Arbitrary<TextCondition> = fc.oneof(
  fc.constantFrom("1", "2").map((equals) => ({ equals })),
  fc.constantFrom("^1", "2$").map((regex) => ({ regex })),
  fc.boolean().map((exists) => ({ exists })),
);
const texts = (...names: string[]) => fc.dictionary(fc.constantFrom(...names), text, { maxKeys: 2 });
const match: fc.Arbitrary<Match> = fc.record(
  {
    path,
    hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 2 }),
    methods: fc.uniqueArray(fc.constantFrom("GET", "PUT"), { minLength: 1 }),
    headers: texts("h", "i"),
    query: texts("q"),
    cookies: texts("c"),
    clients: fc.uniqueArray(fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "::1"), { minLength: 1 }),
  },
  { requiredKeys: [] },
);
const change = fc.oneof(
  { weight: 4, arbitrary: fc.record({ name: fc.constantFrom("r1", "r2", "r3", "r4", "R5", "r6"), matches: fc.array(match, { minLength: 1, maxLength: 2 }), priority: fc.integer({ min: 0, max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ name: fc.constantFrom("r1", "r2", "r3"), matches: fc.constant(undefined), priority: fc.constant(0) }) },
); // prettier-ignore
const value = fc.constantFrom("1", "2", "12");
const request = fc.record({
  facts: fc.record({
    method: fc.constantFrom("GET", "PUT", "POST"),
    host: fc.constantFrom("", "a.test", "b.a.test", "c.b.a.test", "x.test", "test", "other"),
    target: fc
      .tuple(fc.array(fc.constantFrom("a", "b", "c", "%61", "a%20b", ""), { maxLength: 4 }), fc.constantFrom("", "/", "?q=1", "?q=2", "/?q"))
      .map(([segments, end]) => `/${segments.join("/")}${end}`),
    headers: fc.array(
      fc.oneof(fc.tuple(fc.constantFrom("h", "I"), value), value.map((text) => ["cookie", `c=${text}`] as const)),
      { maxLength: 3 },
    ),
  }),
  ip: fc.constantFrom("10.0.0.1", "10.1.0.1", "::1", "192.0.2.1"),
}); // prettier-ignore

test("the router and the model agree on random tables, while routes come and go", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(change, fc.array(request, { maxLength: 5 })), { maxLength: 12 }), (steps) => {
      const router = new Router<number>();
      const model = new ModelRouter<number>();
      for (const [index, [{ name, matches, priority }, requests]] of steps.entries()) {
        if (matches === undefined) assert.equal(router.delete(name), model.delete(name));
        else for (const either of [router, model]) either.set(name, matches, priority, index);
        assert.equal(router.size, model.size);
        for (const { facts, ip } of requests) {
          const made = requestOf(facts);
          const client = clientOf(ip);
          assert.deepEqual(router.find(made, client), model.find(made, client));
          assert.deepEqual(router.allowedMethods(made, client), model.allowedMethods(made, client));
        }
      }
      for (const [{ name }] of steps) router.delete(name);
      assert.deepEqual(router.measure(), { hosts: 0, nodes: 0, leaves: 0, entries: 0 });
    }),
    { numRuns: 3000 },
  );
});

test("candidates come in the order of precedence and begin with what is found when all conditions hold", () => {
  const router = new Router<number>();
  router.set("prefix", [{ path: "/a/*" }], 0, 1);
  router.set("guarded", [{ path: "/a/b", headers: { h: { exists: true } } }], 0, 2);
  router.set("host", [{ hosts: ["a.test", "*.test"], path: "/a/:x" }, { hosts: ["b.test"] }], 0, 3);
  const facts = { host: "a.test", target: "/a/b" };
  assert.deepEqual(router.candidates(requestOf(facts)), [
    { name: "host", alternative: 0, host: "a.test" },
    { name: "host", alternative: 0, host: "*.test" },
    { name: "guarded", alternative: 0, host: undefined },
    { name: "prefix", alternative: 0, host: undefined },
  ]);
});

test("a route that does not compile changes nothing", () => {
  const router = new Router<number>();
  router.set("r", [{ path: "/a" }], 0, 1);
  const before = router.measure();
  assert.throws(() => router.set("r", [{ path: "/b" }, { headers: { h: { regex: "(" } } }], 0, 2), SyntaxError);
  assert.throws(() => router.set("r", [{ clients: ["10.0.0.0/99"] }], 0, 2), TypeError);
  assert.deepEqual(router.measure(), before);
  assert.equal(router.find(requestOf({ target: "/a" }), clientOf())?.value, 1);
});

test("patterns are brought into the spelling that paths are matched in", () => {
  const spellings: readonly (readonly [pattern: string, target: string])[] = [
    ["/café", "/caf%c3%a9"],
    ["/caf%c3%a9", "/caf%C3%A9"],
    ["/%61/:x", "/a/b"],
    ["/a b", "/a%20b"],
    ["/a//b/*", "/a/b/c"],
    ["/a/./b/../c", "/a/c"],
    ["/a/b/..", "/a/"],
    ["/a/:x/../b", "/a/b"],
    ["/a%2fb", "/a/b"],
    ["/[x]", "/%5bx%5D"],
    ["/100%", "/100%25"],
    ["/%3Ax", "/:x"],
    ["", "/"],
  ];
  for (const [pattern, target] of spellings) {
    const router = new Router<number>();
    router.set("r", [{ path: pattern }], 0, 1);
    assert.equal(router.find(requestOf({ target }), clientOf())?.name, "r", `${pattern} takes ${target}`);
    assert.equal(router.find(requestOf({ target: "/x/y" }), clientOf()), undefined);
  }
});

test("finding a route without parameters makes no new object", () => {
  const router = new Router<number>();
  router.set("r", [{ path: "/a/*" }], 0, 1);
  const first = router.find(requestOf({ target: "/a/b" }), clientOf());
  assert.ok(first);
  assert.equal(router.find(requestOf({ target: "/a/c" }), clientOf()), first);
});

/** Steps are counted, not timed: how many nodes a table has, and that a change in it touches only its own. */
test("100,000 routes under one host and 100,000 hosts hold no more than their own nodes and leave nothing behind", () => {
  const count = 100_000;
  const router = new Router<number>();
  for (let i = 0; i < count; i++) {
    router.set(`path-${i}`, [{ hosts: ["big.test"], path: `/t/${i}/*` }], 0, i);
    router.set(`host-${i}`, [{ hosts: [i % 2 === 0 ? `h${i}.test` : `*.h${i}.test`] }], 0, i);
  }
  const winner = (host: string, target: string) => router.find(requestOf({ host, target }), clientOf())?.name;
  assert.equal(winner("big.test", "/t/77777/x"), "path-77777");
  assert.equal(winner("h500.test", "/"), "host-500");
  assert.equal(winner("a.b.h501.test", "/"), "host-501");
  assert.equal(winner("big.test", "/t/x"), undefined);
  const size = router.measure();
  assert.deepEqual({ ...size, nodes: 0 }, { hosts: count + 1, nodes: 0, leaves: 2 * count, entries: 2 * count });
  for (let i = 0; i < count; i++) {
    router.delete(`path-${i}`);
    router.delete(`host-${i}`);
  }
  assert.deepEqual(router.measure(), { hosts: 0, nodes: 0, leaves: 0, entries: 0 });
});
