import assert from "node:assert/strict";
import { test } from "node:test";
import { runMiddleware } from "../../testing.ts";
import stripPrefix from "./index.ts";

test("strips whole segments and never leaves an empty path", async () => {
  const table: [string | number, string, string][] = [
    ["/api", "/api/users?x=1", "/users"],
    ["/api", "/api", "/"],
    ["/api", "/api/", "/"],
    ["/api", "/apis/users", "/apis/users"],
    ["/api", "/other", "/other"],
    ["/api/", "/api/users", "/users"],
    ["/api/v1", "/api/v1/users", "/users"],
    ["/api/v1", "/api/v2/users", "/api/v2/users"],
    ["/a b", "/a%20b/users", "/users"],
    ["/api", "/api%2fusers/1", "/users/1"],
    ["/api", "/api//evil.example", "/evil.example"],
    [1, "/api/users", "/users"],
    [2, "/api/v1/users/7", "/users/7"],
    [5, "/api/users", "/"],
  ];
  for (const [settings, url, expected] of table) {
    const { exchange, nextCalls } = await runMiddleware(stripPrefix, settings, { url: `http://h${url}` });
    assert.equal(exchange.request.path, expected, `${settings} on ${url}`);
    assert.equal(exchange.request.search, url.includes("?") ? "?x=1" : "");
    assert.equal(nextCalls, 1);
  }
});

test("refuses settings that strip nothing or are patterns", () => {
  for (const settings of ["api", "/", "", "/api/*", "/a?b", 0, -1, 1.5, 65, {}, undefined, ["/a"]]) {
    assert.equal(stripPrefix.config.safeParse(settings).success, false, JSON.stringify(settings));
  }
});
