import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileTemplate, hasVariables, literalText, templateVariables } from "./template.ts";
import type { TemplateSource } from "./template.ts";

function source(changes: Partial<TemplateSource> = {}): TemplateSource {
  const headers: Record<string, string> = { "x-team": "blue", "x-bad": "a\r\nb\x00\x7f", "x-latin": "caf\xc3\xa9" };
  return {
    id: "r-1",
    routeName: "users",
    serviceName: "user-service",
    client: { ip: "10.0.0.7", port: 4711, scheme: "https" },
    request: {
      method: "GET",
      host: "api.example.com",
      path: "/api/users/7",
      headers: { get: (name) => headers[name.toLowerCase()] },
      queryParam: (name) => (name === "q" ? "é\n" : undefined),
      cookie: (name) => (name === "sid" ? "s1" : undefined),
    },
    response: { status: 0 },
    match: { params: { id: "7" } },
    consumer: { name: "alice" },
    user: {
      sub: "a1",
      "https://example.com/role": "admin",
      address: { city: "Brno" },
      groups: ["x", 1],
      deep: { a: [] },
    },
    ...changes,
  };
}

test("every variable reads its part of the exchange", () => {
  const table: [string, string][] = [
    ["${client.ip}", "10.0.0.7"],
    ["${client.port}", "4711"],
    ["${route}", "users"],
    ["${service}", "user-service"],
    ["${consumer}", "alice"],
    ["${request.id}", "r-1"],
    ["${request.method}", "GET"],
    ["${request.host}", "api.example.com"],
    ["${request.path}", "/api/users/7"],
    ["${request.scheme}", "https"],
    ["${request.header.X-Team}", "blue"],
    ["${request.cookie.sid}", "s1"],
    ["${param.id}", "7"],
    ["${user.sub}", "a1"],
    ["${user.https://example.com/role}", "admin"],
    ["${user.address.city}", "Brno"],
    ["${user.groups}", "x,1"],
    ["${user.deep}", '{"a":[]}'],
    ["a ${route}/${param.id} z", "a users/7 z"],
    ["$${route} costs $5", "${route} costs $5"],
    ["", ""],
    ["plain", "plain"],
  ];
  for (const [text, expected] of table) assert.equal(compileTemplate(text)(source()), expected, text);
});

test("what is not there is empty, also where an object's prototype has that name", () => {
  const empty = source({ consumer: undefined, user: undefined, match: { params: {} } });
  for (const text of ["${consumer}", "${user.sub}", "${param.id}", "${param.toString}", "${request.header.nope}"]) {
    assert.equal(compileTemplate(text)(empty), "", text);
  }
  for (const text of ["${user.toString}", "${user.address.zip}", "${user.sub.length}", "${user.__proto__.x}"]) {
    assert.equal(compileTemplate(text)(source()), "", text);
  }
});

test("values hold no control characters and are UTF-8 on the wire", () => {
  assert.equal(compileTemplate("${request.header.x-bad}")(source()), "ab");
  assert.equal(compileTemplate("${request.header.x-latin}")(source()), "caf\xc3\xa9");
  assert.equal(compileTemplate("${request.query.q}")(source()), "\xc3\xa9");
  assert.equal(compileTemplate("é${route}")(source()), "\xc3\xa9users");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (value) => {
      const filled = compileTemplate("${user.v} ${param.v}")(
        source({ user: { v: value }, match: { params: { v: value } } }),
      );
      assert.match(filled, /^[\x20-\x7e\x80-\xff]*$/);
    }),
  );
});

test("encode sees the values and not the text around them", () => {
  const template = compileTemplate("/x/${param.id}/${route}", { encode: (value, name) => `<${name}=${value}>` });
  assert.equal(template(source()), "/x/<param.id=7>/<route=users>");
});

test("the response's status is for responses; an error's status can stand in for it", () => {
  assert.throws(() => compileTemplate("${response.status}"), /not known before there is a response/);
  const template = compileTemplate("s=${response.status}", { on: "response" });
  assert.equal(template(source({ response: { status: 204 } })), "s=204");
  assert.equal(template(source(), 401), "s=401");
  assert.equal(template(source()), "s=");
});

test("an unknown variable is refused with the nearest known one", () => {
  const table: [string, RegExp][] = [
    ["${client.adr}", /unknown variable \$\{client\.adr\}; did you mean \$\{client\.ip\}\?/],
    ["${request.headers.x-a}", /did you mean \$\{request\.header\.x-a\}\?/],
    ["${params.id}", /did you mean \$\{param\.id\}\?/],
    ["${Route}", /did you mean \$\{route\}\?/],
    ["${request.header.}", /unknown variable/],
    ["${toString}", /unknown variable/],
    ["${zzzzzzzzzz}", /known are client\.ip, .*param\.NAME/],
    ["a ${route", /without its "\}"/],
  ];
  for (const [text, message] of table) assert.throws(() => compileTemplate(text), message, text);
});

test("hasVariables and literalText look at a text without a request", () => {
  assert.equal(hasVariables("a $${x}"), false);
  assert.equal(hasVariables("a ${route}"), true);
  assert.equal(literalText("/a/${route}/$${b}"), "/a//${b}");
  assert.equal(templateVariables.length, 16);
});
