import assert from "node:assert/strict";
import { test } from "node:test";
import { runMiddleware } from "../../testing.ts";
import redirect from "./index.ts";

test("what is not given comes from the request, and the query is kept", async () => {
  const table: [unknown, string, string][] = [
    [{ scheme: "https" }, "http://a.example/x?q=1", "https://a.example/x?q=1"],
    [{ scheme: "https" }, "http://a.example:8080/x", "https://a.example/x"],
    [{ scheme: "https", port: 8443 }, "http://a.example:8080/x", "https://a.example:8443/x"],
    [{ scheme: "https", port: 443 }, "http://a.example/x", "https://a.example/x"],
    [{ host: "www.a.example" }, "http://a.example:8080/x?q=1", "http://www.a.example:8080/x?q=1"],
    [{ host: "b.example:81" }, "http://a.example:8080/x", "http://b.example:81/x"],
    [{ host: "www.${request.host}" }, "http://a.example/x", "http://www.a.example/x"],
    [{ port: 81 }, "http://a.example/x", "http://a.example:81/x"],
    [{ port: 80 }, "http://a.example:8080/x", "http://a.example/x"],
    [{ path: "/new" }, "http://a.example/x?q=1", "/new?q=1"],
    [{ path: "/u/${param.id}" }, "http://a.example/x", "/u/%2F%2Fevil"],
    [{ path: "/${param.none}/evil.example" }, "http://a.example/x", "/evil.example"],
    [{ prefix: "/v2" }, "http://a.example/api/users?q=1", "/v2/users?q=1"],
    [{ prefix: "/" }, "http://a.example/api//evil.example", "/evil.example"],
    [{ scheme: "https", host: "b.example", path: "/n" }, "http://a.example:8080/x?q=1", "https://b.example/n?q=1"],
    ["/new", "http://a.example/x?q=1", "/new?q=1"],
    ["/new?fixed=é 1#top", "http://a.example/x?q=1", "/new?fixed=%C3%A9%201#top"],
    ["https://b.example", "http://a.example:8080/x?q=1", "https://b.example/?q=1"],
    ["https://b.example${request.path}", "http://a.example:8080/x?q=1", "https://b.example/x?q=1"],
    ["${request.scheme}://b.example/n", "http://a.example:8080/x", "http://b.example/n"],
    ["/login?next=${request.path}", "http://a.example/x%2fy&z", "/login?next=%2Fx%252fy%26z"],
    ["https://[::1]:8443/n", "http://a.example/x", "https://[::1]:8443/n"],
  ];
  for (const [settings, url, location] of table) {
    const run = await runMiddleware(redirect, settings, { url }, { prefixSegments: 1, params: { id: "//evil" } });
    assert.equal(run.response.status, 302, `${JSON.stringify(settings)}: ${run.error?.message}`);
    assert.equal(run.response.headers.get("location"), location, JSON.stringify(settings));
    assert.equal(run.nextCalls, 0);
  }
});

test("takes the five statuses that carry a location", async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    assert.equal((await runMiddleware(redirect, { path: "/n", status })).response.status, status);
  }
  assert.equal(redirect.config.safeParse({ path: "/n", status: 200 }).success, false);
});

test("a whole location may have another status", async () => {
  const { response } = await runMiddleware(redirect, { location: "https://b.example/n", status: 308 });
  assert.deepEqual([response.status, response.headers.get("location")], [308, "https://b.example/n"]);
});

test("a request that is already where it would be sent goes on", async () => {
  const table: [unknown, string, "http" | "https"][] = [
    [{ scheme: "https" }, "https://a.example:8443/x", "https"],
    [{ scheme: "https", host: "a.example" }, "https://A.example/x", "https"],
    [{ path: "/x" }, "http://a.example/x?q=1", "http"],
    [{ host: "a.example" }, "http://a.example/x", "http"],
    ["http://a.example/x", "http://a.example:80/x", "http"],
  ];
  for (const [settings, url, scheme] of table) {
    const run = await runMiddleware(redirect, settings, { url }, { client: { scheme } });
    assert.equal(run.nextCalls, 1, JSON.stringify(settings));
    assert.equal(run.response.status, 200);
  }
});

test("values that make no host are answered with 400", async () => {
  const run = await runMiddleware(redirect, { host: "${param.h}.example" }, {}, { params: { h: "evil.example/" } });
  assert.equal(run.error?.code, "HG_BAD_REQUEST");
});

test("refuses settings that are contradictory or can never be right", async () => {
  const table: [unknown, RegExp][] = [
    [{}, /redirects to itself/],
    [{ status: 301 }, /redirects to itself/],
    [{ path: "/a", prefix: "/b" }, /exclude each other/],
    [{ host: "a:1", port: 2 }, /port is given twice/],
    [{ host: "a b" }, /not a host name/],
    [{ path: "a" }, /must start with/],
    [{ path: "/a?b" }, /query/],
    [{ scheme: "ftp" }, /scheme/],
    ["new", /must start with \/ or with http/],
    ["javascript:alert(1)", /must start with/],
    ["", /must start with/],
    [{ location: "/a", path: "/b" }, /goes with "status" only/],
    [{ to: "/a" }, /"to"/],
  ];
  for (const [settings, message] of table) await assert.rejects(runMiddleware(redirect, settings), message);
});
