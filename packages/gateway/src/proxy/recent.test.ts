import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Match } from "@headgate/schema";
import { RawClient } from "../../../../tests/kit/client.ts";
import { startProxy } from "../../../../tests/kit/proxy.ts";
import type { Client } from "./exchange.ts";
import { ExchangeRequest } from "./exchange.ts";
import { parseRequestHead } from "./http1/parse-head.ts";
import { LookedAt } from "./looked-at.ts";
import { Recent, recentRequestsMax, shapesOf, type RequestShape } from "./recent.ts";
import { clientOf, requestOf } from "./router/router.fixtures.ts";
import { normalizeTarget } from "./router/normalize.ts";

/** A request as the wire hands it over. */
function received(line: string, ...fields: string[]): ExchangeRequest {
  const bytes = Buffer.from([`${line} HTTP/1.1`, ...fields, "\r\n"].join("\r\n"), "latin1");
  const head = parseRequestHead(bytes, 0, bytes.length, { headBytes: 65_536, headers: 100, uriBytes: 65_536 });
  assert.ok(head);
  const normalized = normalizeTarget(head.target);
  assert.ok(normalized);
  const { method, target, host, fields: headers, framing, contentLength } = head;
  return new ExchangeRequest({ method, target, host, headers, ...normalized, framing, contentLength });
}

function looking(...match: Match[]): LookedAt {
  const lookedAt = new LookedAt();
  lookedAt.replace(undefined, { match, use: [] });
  return lookedAt;
}

function remember(size: number, requests: readonly ExchangeRequest[], lookedAt = looking(), client?: Client) {
  const recent = new Recent(size);
  for (const [index, request] of requests.entries()) {
    recent.note(request, client ?? clientOf("192.0.2.7"), 1_000 + index, lookedAt);
  }
  return shapesOf([structuredClone(recent.tell(lookedAt))]);
}

const host = "Host: API.example.com:8080";
const targets = (shapes: readonly RequestShape[]): string[] => shapes.map(({ target }) => target);

test("the last requests are told, oldest first, with what every route looks at", () => {
  const requests = ["GET /a", "POST /b?x=1", "PUT /c/./d", "GET /e", "HEAD /f"].map((line) => received(line, host));
  const shapes = remember(3, requests);
  assert.deepEqual(shapes[0], {
    atMs: 1_002,
    method: "PUT",
    target: "/c/./d",
    host: "api.example.com",
    scheme: "http",
    client: "",
    fields: [],
  });
  assert.deepEqual(
    shapes.map(({ method, target, atMs }) => [method, target, atMs]),
    [
      ["PUT", "/c/./d", 1_002],
      ["GET", "/e", 1_003],
      ["HEAD", "/f", 1_004],
    ],
  );
  assert.deepEqual(targets(remember(9, requests.slice(0, 2))), ["/a", "/b?x=1"]);
  assert.deepEqual(remember(9, []), []);
});

test("a target in absolute form is told in origin form, and a request without a text of its own as it is", () => {
  const lines = ["GET http://api.example.com:8080/a?b", "GET HTTP://api.example.com:8080?q", "GET //b"];
  const shapes = remember(9, [...lines.map((line) => received(line, host)), requestOf({ target: "/made", host: "h" })]);
  assert.deepEqual(targets(shapes), ["/a?b", "/?q", "//b", "/made"]);
  assert.equal(shapes[3]?.host, "h");
});

test("long targets are told, cut in the query; one whose path is cut is left out", () => {
  const path = `/${"p".repeat(300)}`;
  const query = `/q?${"v".repeat(3_000)}`;
  const lines = [`GET ${path}`, `GET ${query}`, `GET /${"x".repeat(3_000)}`, "GET /short"];
  const shapes = remember(
    9,
    lines.map((line) => received(line, host)),
  );
  assert.deepEqual(targets(shapes), [path, query.slice(0, 2_044), "/short"]);
});

test("a short request takes the place of a long one, and a long one that of a short one", () => {
  const long = (name: string): string => `GET /${name}${"/".repeat(300)}`;
  const lines = [long("a"), "GET /b", "GET /c", long("d")];
  assert.deepEqual(targets(remember(2, lines.map((line) => received(line, host)))), ["/c", long("d").slice(4)]); // prettier-ignore
});

test("header fields, cookies and the client are told only where a condition looks at them", () => {
  const fields = [
    "X-Team: a",
    "x-team: b",
    "X-Other: c",
    "Authorization: Bearer t",
    'Cookie: sid=1; theme="dark"; z=2',
  ];
  const request = received("GET /", host, ...fields);
  assert.deepEqual(remember(1, [request])[0]?.fields, []);
  const lookedAt = looking(
    { headers: { "x-team": { equals: "a" }, "x-missing": { exists: true } } },
    { cookies: { theme: { equals: "dark" }, none: { exists: true } }, clients: ["10.0.0.0/8"] },
  );
  const [shape] = remember(1, [request], lookedAt);
  assert.deepEqual(shape?.fields, ["x-team", "a", "x-team", "b", "cookie", "theme=dark"]);
  assert.equal(shape.client, "192.0.2.7");
  assert.equal(remember(1, [request], lookedAt, { ...clientOf(), scheme: "https" })[0]?.scheme, "https");
});

test("values are cut", () => {
  const [shape] = remember(
    1,
    [received("GET /", host, `X: ${"v".repeat(1_000)}`)],
    looking({ headers: { x: { exists: true } } }),
  );
  assert.deepEqual(shape?.fields, ["x", "v".repeat(256)]);
});

test("the requests of several workers are told together in order of time, at most as many as one gateway remembers", () => {
  const size = recentRequestsMax / 2;
  const lookedAt = looking();
  const workers = [0, 1].map((worker) => {
    const recent = new Recent(size + 100);
    for (let i = 0; i < size + 100; i++) {
      recent.note(requestOf({ target: `/${2 * i + worker}` }), clientOf(), 2 * i + worker, lookedAt);
    }
    return recent.tell(lookedAt);
  });
  const shapes = shapesOf(workers);
  assert.equal(shapes.length, recentRequestsMax);
  assert.deepEqual([shapes[0]?.target, shapes[1]?.target, shapes.at(-1)?.target], ["/200", "/201", "/10199"]);
});

test("remembering a request does not keep its head in memory", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void; // what the flag adds
  const lookedAt = looking({ headers: { x: { exists: true } }, cookies: { c: { exists: true } }, clients: ["::/0"] });
  const recent = new Recent(2_000);
  collect();
  const before = process.memoryUsage().heapUsed;
  const filler = "f".repeat(30_000);
  for (let i = 0; i < 2_000; i++) {
    const fields = [
      `Host: host-number-${i}.example.com`,
      `X: a-value-long-enough-${i}`,
      `Cookie: c=a-cookie-value-${i}`,
    ];
    const request = received(`GET /a/path/that/is/long/enough/${i}`, ...fields, `F: ${filler}`);
    const ip = request.headers.raw.slice(20, 40);
    recent.note(request, { ...clientOf(), ip }, i, lookedAt);
  }
  collect();
  const grown = process.memoryUsage().heapUsed - before;
  assert.equal(shapesOf([recent.tell(lookedAt)]).length, 2_000);
  // The heads together have 60 MB.
  assert.ok(grown < 4_000_000, `${grown} bytes are held`);
});

test("a proxy remembers what it looks for a route for, and not what it refuses before", async (t) => {
  const proxy = await startProxy(t, { route: { match: [{ path: "/here", headers: { "x-team": { equals: "a" } } }] } });
  const requests = [
    "GET /here HTTP/1.1\r\nHost: a.test\r\nX-Team: a\r\n\r\n",
    "GET /nowhere?q HTTP/1.1\r\nHost: b.test\r\n\r\n",
    "GET /..%5cx HTTP/1.1\r\nHost: a.test\r\n\r\n",
  ];
  for (const request of requests) {
    const client = await RawClient.connect(t, proxy.port);
    client.send(request);
    await client.response();
  }
  assert.deepEqual(
    shapesOf([proxy.recent()]).map(({ atMs: _, ...shape }) => shape),
    [
      { method: "GET", target: "/here", host: "a.test", scheme: "http", client: "", fields: ["x-team", "a"] },
      { method: "GET", target: "/nowhere?q", host: "b.test", scheme: "http", client: "", fields: [] },
    ],
  );
});
