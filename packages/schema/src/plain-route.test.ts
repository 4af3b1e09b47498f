import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkRoute } from "./checks.ts";
import { routeSchema } from "./document.ts";
import { toRoute } from "./normalize.ts";
import { plainRoute } from "./plain-route.ts";
import type { RouteResource } from "./resources.ts";

/** What the schema makes of a route; undefined where it objects. */
function judged(written: unknown): RouteResource | undefined {
  const parsed = routeSchema.safeParse(written);
  return parsed.success && checkRoute(written, []).length === 0 ? toRoute(parsed.data) : undefined;
}

/** Routes of nearly every configuration; each must take the short way, or that is of no use. */
const ordinary: unknown[] = [
  { match: { path: "/api/v1/service-7/*" }, to: "upstream" },
  { to: "upstream" },
  { match: {}, to: "upstream" },
  { match: { hosts: ["API.example.com", "api.example.com", "*.example.org"], path: "/a/:id" }, to: "a" },
  { match: [{ path: "/a" }, { path: "/b", methods: ["GET", "POST", "GET"] }], to: "a", priority: -3 },
  { match: { path: "/%C3%BC" }, use: ["request-id", "signed-in"], to: "a", timeout: "1m30s" },
  { match: { path: "/" }, use: [{ "rate-limit": { limit: 1, per: "1s" } }, { cors: null }, { tag: 0 }], to: "a" },
  { to: [{ service: "a", weight: 95 }, { service: "b", weight: 0 }, { service: "c" }], use: [] },
];

for (const written of ordinary) {
  test(`takes ${JSON.stringify(written)} for what the schema does`, () => {
    const plain = plainRoute(written);
    assert.ok(plain !== undefined);
    // As text: the order of the keys is the same, too, so that a worker meets one shape of object.
    assert.equal(JSON.stringify(plain), JSON.stringify(judged(written)));
  });
}

const others: [string, unknown][] = [
  ["nothing", null],
  ["a list", []],
  ["an answer", { respond: { status: 200 } }],
  ["no destination", { match: { path: "/a" } }],
  ["two ways", { to: "a", respond: {} }],
  ["a mistyped key", { to: "a", tiemout: "1s" }],
  ["a key without a value", { to: "a", match: undefined }],
  ["no alternative", { to: "a", match: [] }],
  ["a path without a slash", { to: "a", match: { path: "a" } }],
  ["a header condition", { to: "a", match: { headers: { a: "1" } } }],
  ["no host", { to: "a", match: { hosts: [] } }],
  ["a host with a port", { to: "a", match: { hosts: ["a:80"] } }],
  ["a method in lower case", { to: "a", match: { methods: ["get"] } }],
  ["a step with a condition", { to: "a", use: [{ cors: {}, when: { path: "/a" } }] }],
  ["a condition without a step", { to: "a", use: [{ when: {} }] }],
  ["a step of two middlewares", { to: "a", use: [{ cors: {}, jwt: {} }] }],
  ["a step called __proto__", { to: "a", use: [JSON.parse('{"__proto__":{}}')] }],
  ["a destination of no weight", { to: [{ service: "a", weight: 0 }] }],
  ["a destination without a service", { to: [{ weight: 1 }] }],
  ["half a weight", { to: [{ service: "a", weight: 0.5 }] }],
  ["no timeout at all", { to: "a", timeout: "0s" }],
  ["a timeout of a month", { to: "a", timeout: "720h" }],
  ["a timeout without a unit", { to: "a", timeout: 5 }],
  ["half a priority", { to: "a", priority: 0.5 }],
];

for (const [what, written] of others) {
  test(`leaves ${what} to the schema`, () => assert.equal(plainRoute(written), undefined));
}

test("what it takes is what the schema makes of it, whatever is written", () => {
  const odd = fc.constantFrom(null, undefined, true, 0, -0, 0.5, 1_000_001, NaN, "", "é", "//", "get", [], {}, [
    "a",
    1,
  ]);
  const mostly = (usual: fc.Arbitrary<unknown>) => fc.oneof({ weight: 12, arbitrary: usual }, odd);
  const oneOf = (...texts: unknown[]) => mostly(fc.constantFrom(...texts));
  const list = (item: fc.Arbitrary<unknown>) => mostly(fc.array(item, { minLength: 1, maxLength: 3 }));
  const map = (fields: Record<string, fc.Arbitrary<unknown>>, ...required: string[]) =>
    mostly(fc.record(fields, { requiredKeys: required }));
  const match = map({
    path: oneOf("/a", "/a/*", "/a/:b", "/%c3%bc", "/%zz", "/a/"),
    hosts: list(oneOf("a", "A.b", "*.a", "*", "a:80")),
    methods: list(oneOf("GET", "POST", "GET")),
  });
  const step = fc.oneof(
    oneOf("cors", "jwt"),
    fc.dictionary(fc.constantFrom("cors", "when", "é"), odd, { minKeys: 1, maxKeys: 2 }),
  );
  const to = fc.oneof(oneOf("a", "b"), list(map({ service: oneOf("a", "b"), weight: oneOf(0, 1, 2) }, "service")));
  const fields = { match: fc.oneof(match, list(match)), use: list(step), timeout: oneOf("1s", "90ms", "720h") };
  const route = map({ ...fields, to, priority: oneOf(-1, 7) }, "to");
  let taken = 0;
  let refused = 0;
  fc.assert(
    fc.property(route, (written) => {
      const plain = plainRoute(written);
      if (plain === undefined) {
        refused++;
        return;
      }
      taken++;
      assert.deepStrictEqual(plain, judged(written));
    }),
    { numRuns: 5_000 },
  );
  assert.ok(taken > 250 && refused > 250, `${taken} were taken, ${refused} were not`);
});
