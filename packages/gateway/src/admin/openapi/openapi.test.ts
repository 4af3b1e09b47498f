import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { admin } from "../admin.fixtures.ts";
import { adminEndpoints } from "../endpoints.ts";
import { headerParameters, queryParameters } from "../parameters.ts";
import type { AdminParts } from "../parts.ts";
import { kinds } from "../../control/layout.ts";
import { openApiDocument } from "./document.ts";
import { allSchemas } from "./schemas.ts";

type Map = Readonly<Record<string, unknown>>;

// Only the list is looked at; no endpoint is called.
const endpoints = adminEndpoints({} as AdminParts);
const document = JSON.parse(JSON.stringify(openApiDocument(endpoints, "1.2.3"))) as Map; // what a client reads

function map(value: unknown, what: string): Map {
  assert.ok(typeof value === "object" && value !== null && !Array.isArray(value), `${what} is no map`);
  return value as Map; // just asserted
}

function operations(): { path: string; method: string; operation: Map }[] {
  return Object.entries(map(document["paths"], "paths")).flatMap(([path, item]) =>
    Object.entries(map(item, path)).map(([method, operation]) => ({ path, method, operation: map(operation, path) })),
  );
}

test("every endpoint is described, and no other", () => {
  const described = operations().map(({ path, method }) => `${method.toUpperCase()} ${path}`);
  assert.deepEqual(described.sort(), endpoints.map(({ method, path }) => `${method} ${path}`).sort());
});

test("the description has the structure of OpenAPI 3.1", () => {
  assert.match(String(document["openapi"]), /^3\.1\.\d+$/);
  const { title, version } = map(document["info"], "info");
  assert.deepEqual([typeof title, version], ["string", "1.2.3"]);
  const ids = new Set<unknown>();
  for (const { path, method, operation } of operations()) {
    const where = `${method} ${path}`;
    assert.ok(path.startsWith("/"), where);
    assert.match(String(operation["summary"]), /^[A-Z].*\.$/, where);
    assert.match(String(operation["operationId"]), /^[a-zA-Z]+$/, where);
    ids.add(operation["operationId"]);
    const parameters = (operation["parameters"] ?? []) as readonly Map[]; // a list or absent; looked at below
    const inPath = parameters.filter((parameter) => parameter["in"] === "path");
    const named = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => name);
    assert.deepEqual(
      inPath.map((parameter) => parameter["name"]),
      named,
      where,
    );
    for (const parameter of parameters) {
      assert.match(String(parameter["in"]), /^(path|query|header)$/, where);
      map(parameter["schema"], where);
      assert.equal(parameter["required"] === true, parameter["in"] === "path", where);
    }
    const responses = map(operation["responses"], where);
    for (const [status, response] of Object.entries(responses)) {
      assert.match(status, /^([1-5]\d\d|default)$/, where);
      assert.equal(typeof map(response, where)["description"], "string", where);
    }
    assert.ok("default" in responses && Object.keys(responses).length > 1, where);
    // There is nothing more to say about one message.
    const needsBody = ["post", "put"].includes(method) && path !== "/v1/queue/{id}/replay";
    assert.equal("requestBody" in operation, needsBody, where);
  }
  assert.equal(ids.size, operations().length, "an operationId stands twice");
});

test("every reference leads to a schema, and every schema is referred to", () => {
  const schemas = map(map(document["components"], "components")["schemas"], "schemas");
  const references = Array.from(JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g), ([, target = ""]) => target);
  assert.ok(references.length > 0);
  for (const target of references) {
    assert.ok(Object.hasOwn(schemas, target.replace("#/components/schemas/", "")), `${target} is not there`);
  }
  const used = new Set(references.map((target) => target.replace("#/components/schemas/", "")));
  assert.deepEqual(
    Object.keys(schemas).filter((name) => !used.has(name)),
    [],
  );
});

test("only what needs no token says so", () => {
  for (const { path, method, operation } of operations()) {
    const endpoint = endpoints.find((one) => one.path === path && one.method.toLowerCase() === method);
    const expected = { anyone: [], local: [{}, { token: [] }], token: undefined }[endpoint?.access ?? "token"];
    assert.deepEqual(operation["security"], expected, `${method} ${path}`);
  }
});

test("schemas of resources are those that documents are validated with", () => {
  const schemas = allSchemas();
  for (const [name, property] of [
    ["Route", "match"],
    ["Service", "instances"],
    ["Consumer", "keys"],
  ] as const) {
    assert.ok(property in map(schemas[name]?.["properties"], name), name);
  }
  assert.equal(schemas["Settings"]?.["type"], "array");
  assert.ok("anyOf" in (schemas["Middleware"] ?? {}));
});

test("every parameter belongs to an endpoint", () => {
  const used = new Set(endpoints.flatMap(({ about }) => [...(about.query ?? []), ...(about.headers ?? [])]));
  const declared = [...Object.keys(queryParameters), ...Object.keys(headerParameters)];
  assert.deepEqual([...used].sort(), declared.sort());
});

test("the description is served to whoever has the token", async (t) => {
  const { trusted, call } = await admin(t);
  assert.equal((await call("/openapi.json")).status, 401);
  assert.deepEqual((await trusted("/openapi.json")).json(), document);
});

test("docs/admin.md describes exactly the endpoints there are, and every parameter", () => {
  const page = readFileSync(new URL("../../../../../docs/admin.md", import.meta.url), "utf8");
  const rows = page.matchAll(/^\| `(GET|POST|PUT|DELETE) (\/[^`]*)` +\| (\w+) +\|/gm);
  const documented = Array.from(rows, ([, method = "", path = "", access = ""]) => {
    const spelled = path.replaceAll(/<(name|service|address|id)>/g, "{$1}");
    const paths = spelled.includes("<kind>") ? kinds.map((kind) => spelled.replace("<kind>", kind)) : [spelled];
    return paths.map((one) => `${method} ${one} ${access}`);
  }).flat();
  const there = endpoints.map(({ method, path, access }) => `${method} ${path} ${access}`);
  assert.deepEqual(documented.sort(), there.sort());
  for (const name of [...Object.keys(queryParameters), ...Object.keys(headerParameters)]) {
    assert.match(page, new RegExp(`\`(\\?)?${name}\\b`, "i"), `docs/admin.md lacks ${name}`);
  }
  for (const { method, path } of endpoints) {
    const section = path.replace(/^\/v1\/[a-z]+(?=\/\{name\}$)/, "/v1/<kind>").replaceAll(/\{(\w+)\}/g, "<$1>");
    const ofKind = kinds.some((kind) => section === `/v1/${kind}`) ? "/v1/<kind>" : section;
    assert.ok(page.includes(`\`${method} ${ofKind}\``), `docs/admin.md lacks ${method} ${ofKind}`);
  }
});
