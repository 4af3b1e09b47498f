import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GatewayError } from "./errors.ts";
import { compileHost, compilePath, safePath } from "./target-template.ts";
import type { TemplateSource } from "./template.ts";

function source(value: string): TemplateSource {
  return {
    id: "1",
    routeName: "",
    serviceName: "",
    client: { ip: "127.0.0.1", port: 1, scheme: "http" },
    request: {
      method: "GET",
      host: "a.example",
      path: "/as/it%2fcame",
      headers: { get: () => value },
      queryParam: () => value,
      cookie: () => undefined,
    },
    response: { status: 0 },
    match: { params: { id: value } },
    consumer: undefined,
    user: undefined,
  };
}

const isBadRequest = (error: unknown): boolean => error instanceof GatewayError && error.code === "HG_BAD_REQUEST";

test("compilePath keeps values within their segment and the request's path as it came", () => {
  const table: [string, string, string][] = [
    ["/fixed path", "", "/fixed%20path"],
    ["/é", "", "/%C3%A9"],
    ["/u/${param.id}", "a b/c?d#e%2f", "/u/a%20b%2Fc%3Fd%23e%252f"],
    ["/u/${param.id}", "é", "/u/%C3%A9"],
    ["/${param.id}/x", "", "/x"],
    ["${request.path}/more", "", "/as/it%2fcame/more"],
    ["/v2${request.path}", "", "/v2/as/it%2fcame"],
  ];
  for (const [text, value, expected] of table)
    assert.equal(compilePath(text)(source(value)), expected, `${text} ${value}`);
});

test("a value cannot add dot segments to a path", () => {
  for (const value of ["..", ".", "../admin", "..\\admin", "x/../../admin"]) {
    assert.throws(() => compilePath("/u/${param.id}/x")(source(value)), isBadRequest, value);
  }
  assert.throws(() => safePath("/a/%2e%2e/b"), isBadRequest);
});

test("a path that can never be one is refused when it is compiled", () => {
  for (const text of ["a", "", "/a?b=1", "/a#b", "/a/../b", "/a/${nope}"])
    assert.throws(() => compilePath(text), Error, text);
});

test("whatever a value holds, the path is one a request line can carry", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (value) => {
      let path: string;
      try {
        path = compilePath("/u/${param.id}/${request.query.q}")(source(value));
      } catch (error) {
        assert.ok(isBadRequest(error));
        return;
      }
      assert.match(path, /^\/u\/[\x21\x24-\x2e\x30-\x3e\x40-\x7e]*\/[\x21\x24-\x2e\x30-\x3e\x40-\x7e]*$/);
    }),
  );
});

test("compileHost takes hosts and makes them from values that are part of one", () => {
  for (const text of ["a.example", "a.example:8080", "[::1]:80", "localhost"])
    assert.equal(compileHost(text)(source("")), text);
  assert.equal(compileHost("${param.id}.example")(source("blue")), "blue.example");
  for (const text of ["", "a b", "a/b", "http://a", "a..b", "é.example"])
    assert.throws(() => compileHost(text), Error, text);
  for (const value of ["", "a b", "x/y", "@", "a:1"]) {
    assert.throws(() => compileHost("${param.id}.example")(source(value)), isBadRequest, value);
  }
});
