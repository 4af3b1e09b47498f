import assert from "node:assert/strict";
import { test } from "node:test";
import { runMiddleware } from "../../testing.ts";
import rewrite from "./index.ts";

test("rewrites the path and keeps the query", async () => {
  const table: [unknown, string, number, string][] = [
    ["/fixed", "/api/users", 0, "/fixed"],
    [{ path: "/v2/users/${param.id}" }, "/api/users/7", 0, "/v2/users/a%2Fb"],
    [{ path: "/v2${request.path}" }, "/api/users", 0, "/v2/api/users"],
    [{ prefix: "/v2" }, "/api/users/7", 1, "/v2/users/7"],
    [{ prefix: "/" }, "/api/users/7", 1, "/users/7"],
    [{ prefix: "/v2" }, "/api", 1, "/v2"],
    [{ prefix: "/v2/" }, "/api", 1, "/v2/"],
    [{ prefix: "/v2" }, "/api%2fusers", 1, "/v2/users"],
    [{ prefix: "/v2" }, "/users", 0, "/v2/users"],
    [{ regex: "^/api/(\\w+)/(\\d+)$", to: "/$2/$1" }, "/api/users/7", 0, "/7/users"],
    [{ regex: "/(?<kind>\\w+)$", to: "/by-$<kind>" }, "/api/users", 0, "/api/by-users"],
    [{ regex: "^/nope", to: "/x" }, "/api/users", 0, "/api/users"],
    [{ regex: "^/api", to: "/a b\u0000é%" }, "/api/users", 0, "/a%20b%00%C3%A9%25/users"],
    [{ regex: "^/api/", to: "" }, "/api/users", 0, "/users"],
    [{ regex: "^/api", to: "" }, "/api//evil.example", 0, "/evil.example"],
  ];
  for (const [settings, path, prefixSegments, expected] of table) {
    const { exchange, nextCalls, error } = await runMiddleware(
      rewrite,
      settings,
      { url: `http://h${path}?q=1` },
      { prefixSegments, params: { id: "a/b" } },
    );
    assert.equal(error, undefined);
    assert.equal(exchange.request.path + exchange.request.search, `${expected}?q=1`, JSON.stringify(settings));
    assert.equal(nextCalls, 1);
  }
});

test("rewrites the host, and host and path each from the request as it came", async () => {
  const { exchange } = await runMiddleware(
    rewrite,
    { host: "${param.tenant}.internal:8080", path: "/${request.host}" },
    { url: "http://shop.example/x" },
    { params: { tenant: "blue" } },
  );
  assert.equal(exchange.request.headers.get("host"), "blue.internal:8080");
  assert.equal(exchange.request.path, "/shop.example");
});

test("values that make no safe path or host are answered with 400", async () => {
  const table: [unknown, string, string][] = [
    [{ path: "/files/${param.v}/x" }, "/a", ".."],
    [{ path: "/files/${param.v}" }, "/a", "../secret"],
    [{ host: "${param.v}.internal" }, "/a", "evil.example/"],
    [{ host: "${param.v}.internal" }, "/a", ""],
    [{ regex: "x", to: "" }, "/.x./secret", ""],
  ];
  for (const [settings, path, v] of table) {
    const run = await runMiddleware(rewrite, settings, { url: `http://h${path}` }, { params: { v } });
    assert.equal(run.error?.code, "HG_BAD_REQUEST", JSON.stringify(settings));
    assert.equal(run.nextCalls, 0);
  }
});

test("refuses settings that are contradictory or can never be right", async () => {
  const table: [unknown, RegExp][] = [
    [{}, /rewrites nothing/],
    [{ path: "/a", prefix: "/b" }, /exclude each other/],
    [{ regex: "^/a" }, /belong together/],
    [{ to: "/a" }, /belong together/],
    [{ regex: "(", to: "/a" }, /Invalid regular expression/],
    [{ regex: "a".repeat(1025), to: "/a" }, /1024/],
    [{ regex: "^/a", to: "/${route}" }, /variables belong to "path"/],
    [{ regex: "^/a", to: "/b?c=d" }, /must not hold a query/],
    ["users", /must start with \//],
    ["/a?b=c", /must not hold a query/],
    ["/a/../b", /dot segment/],
    ["/${nope}", /unknown variable/],
    [{ host: "http://a" }, /is not a host name/],
    [{ pth: "/a" }, /pth/],
  ];
  for (const [settings, message] of table) await assert.rejects(runMiddleware(rewrite, settings), message);
});
