import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, formatPath, validateDocument } from "@headgate/schema";
import { z } from "zod";
import { defineMiddleware } from "../proxy/middleware.ts";
import type { MiddlewareDefinition } from "../proxy/middleware.ts";
import { mayBeStored } from "./read-document.ts";
import { resolve, Resolver } from "./resolve.ts";

const pass = () => () => undefined;
const limit = defineMiddleware({
  name: "body-limit",
  config: z.union([bytes(), z.strictObject({ max: bytes().prefault("1MiB") })]),
  build: pass,
});
const jwt = defineMiddleware({ name: "jwt", config: z.strictObject({ secret: z.string() }), build: pass });
const broken = defineMiddleware({
  name: "broken",
  config: z.unknown().refine(() => {
    throw new Error("a bug");
  }),
  build: pass,
});
// The table holds middlewares of any settings; each is only ever given what its own schema made.
const table = new Map(
  [limit, jwt, broken].map((one): [string, MiddlewareDefinition] => [one.name, one as MiddlewareDefinition]),
);

/** `path: message (hint)` for a document whose services `s` exists. */
function told(document: Record<string, unknown>): string[] {
  const services = { s: { instances: [{ address: "a:1" }] }, ...(document["services"] as object | undefined) };
  const { value, problems } = validateDocument({ ...document, services });
  const { resources } = value ?? assert.fail(JSON.stringify(problems));
  return resolve(resources, table, new Set(Object.keys(resources.plugins))).map(
    ({ path, message, hint }) => `${formatPath(path)}: ${message}${hint === undefined ? "" : ` (${hint})`}`,
  );
}

const route = (part: object) => ({ routes: { r: { to: "s", ...part } } });

test("a document whose names all exist has no problem", () => {
  const problems = told({
    global: ["body-limit", { greet: { any: 1 } }],
    middlewares: { "signed-in": { jwt: { secret: "x" } }, greeting: { greet: { any: 1 } } },
    routes: {
      r: {
        use: ["signed-in", "greeting", { "body-limit": "1KiB" }],
        to: [{ service: "s" }, { service: "s" }],
        fallback: { service: "s" },
      },
    },
    services: { t: { instances: [{ address: "a:1" }], use: [{ "body-limit": { max: 5 } }] } },
    plugins: { greet: "./greet.ts" },
  });
  assert.deepEqual(problems, []);
});

const mistakes: [string, Record<string, unknown>, string[]][] = [
  [
    "a service that is not there",
    route({ to: "users" }),
    ['routes.r.to[0].service: there is no service "users" (define it under services)'],
  ],
  [
    "a service with the name of an inherited property",
    route({ to: "constructor" }),
    ['routes.r.to[0].service: there is no service "constructor" (define it under services)'],
  ],
  [
    "a mistyped fallback",
    { ...route({ fallback: { service: "shp" } }), services: { shop: { instances: [{ address: "a:1" }] } } },
    ['routes.r.fallback.service: there is no service "shp" (did you mean "shop"?)'],
  ],
  [
    "a mistyped middleware",
    route({ use: ["body-limt"] }),
    ['routes.r.use[0]: there is no middleware "body-limt" (did you mean "body-limit"?)'],
  ],
  [
    "a mistyped middleware with settings",
    { global: [{ jtw: {} }] },
    ['global[0].jtw: there is no middleware "jtw" (did you mean "jwt"?)'],
  ],
  [
    "settings of the wrong form",
    { services: { t: { instances: [{ address: "a:1" }], use: [{ "body-limit": { max: "1x" } }] } } },
    ['services.t.use[0].body-limit.max: expected a size such as "64KiB", "10MB", "512B" or a number of bytes'],
  ],
  [
    "a mistyped setting",
    { middlewares: { m: { jwt: { secret: "a", secert: "b" } } } },
    ['middlewares.m.jwt.secert: unknown key "secert" (did you mean "secret"?)'],
  ],
  ["a bare name whose middleware needs settings", { global: ["jwt"] }, ["global[0].secret: is missing: expected text"]],
  [
    "settings for a named configuration",
    { middlewares: { m: "body-limit" }, global: [{ m: { max: 1 } }] },
    [
      'global[0].m: "m" is a named configuration and takes no settings where it is used (change middlewares.m, or use its middleware here)',
    ],
  ],
  [
    "a named configuration of another one",
    { middlewares: { a: "body-limit", b: "a" } },
    ['middlewares.b: a named configuration cannot refer to another one, "a" (repeat the middleware and its settings)'],
  ],
  [
    "a named configuration of itself",
    { middlewares: { a: "a" } },
    ['middlewares.a: a named configuration cannot refer to another one, "a" (repeat the middleware and its settings)'],
  ],
  [
    "a name that a middleware has",
    { middlewares: { jwt: { jwt: { secret: "x" } } } },
    ['middlewares.jwt: a named configuration cannot have the name of the middleware "jwt" (choose another name)'],
  ],
  [
    "a plugin with the name of a middleware",
    { plugins: { jwt: "./x.ts" } },
    ['plugins.jwt: a plugin cannot have the name of the middleware "jwt" (choose another name)'],
  ],
  [
    "a plugin and a configuration of one name",
    { plugins: { a: "./x.ts" }, middlewares: { a: "body-limit" } },
    ['middlewares.a: a named configuration cannot have the name of the plugin "a" (choose another name)'],
  ],
  ["a schema that throws", { global: ["broken"] }, ["global[0]: could not be validated: a bug"]],
];
for (const [name, document, problems] of mistakes) {
  test(`${name} is a problem of who refers to it`, () => assert.deepEqual(told(document), problems));
}

test("what misspelt names cost does not grow with how many there are", () => {
  let compared = 0;
  const all = function* (): Iterable<string> {
    for (let index = 0; index < 3_000; index++) {
      compared++;
      yield `service-${index}`;
    }
  };
  const names = { has: () => false, all };
  const problems = Array.from({ length: 1_000 }, (_, index) => {
    const resolver = new Resolver(names, table);
    const { value } = validateDocument({
      services: {},
      routes: { r: { match: {}, to: index < 500 ? "servce-12" : `other-${index}`, use: [`nobody-${index}`] } },
    });
    const [resource] = Object.values(value?.resources.routes ?? {});
    resolver.route("r", resource ?? assert.fail());
    return resolver.problems;
  });
  assert.ok(compared < 10_000, `${compared} names were looked at`);
  for (const [index, found] of problems.entries()) {
    assert.equal(found.length, 2);
    if (index < 500) assert.equal(found[1]?.hint, 'did you mean "service-12"?');
  }
});

test("beside a store, a document may name what it does not hold, and its own named configurations are no plugins", () => {
  const { value } = validateDocument({
    middlewares: { "signed-in": { "body-limit": "1KiB" } },
    routes: { a: { use: ["signed-in", "stored", { greet: { language: "fr" } }], to: "stored" } },
  });
  assert.ok(value !== undefined);
  assert.deepEqual(resolve(value.resources, table, new Set(), mayBeStored), []);
  assert.equal(resolve(value.resources, table, new Set()).length, 3);
});
