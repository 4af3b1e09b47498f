import assert from "node:assert/strict";
import { test } from "node:test";
import { HeadError } from "./grammar.ts";
import { hostName, parseRequestHead } from "./parse-head.ts";

const limits = { headBytes: 1024, headers: 10, uriBytes: 64 };
const parse = (text: string, offset = 0) => parseRequestHead(Buffer.from(text, "latin1"), offset, text.length, limits);

test("a head gives method, target, host, fields and what they say", () => {
  const text = "POST /a?b=c HTTP/1.1\r\nHost: Example.com:80\r\nX-A:  1 \r\nContent-Length: 12\r\n\r\nbody";
  const head = parse(text);
  assert.ok(head !== undefined);
  assert.equal(head.method, "POST");
  assert.equal(head.target, "/a?b=c");
  assert.equal(head.host, "example.com");
  assert.equal(head.hostText, "Example.com:80");
  assert.equal(head.framing, "length");
  assert.equal(head.contentLength, 12);
  assert.equal(head.keepAlive, true);
  assert.equal(text.slice(head.end), "body");
  assert.deepEqual(
    [...head.fields],
    [
      ["Host", "Example.com:80"],
      ["X-A", "1"],
      ["Content-Length", "12"],
    ],
  );
});

test("a head behind other bytes and behind empty lines is read as if it stood alone", () => {
  const text = "xxxx\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n";
  const head = parse(text, 4);
  assert.ok(head !== undefined);
  assert.equal(head.end, text.length);
  assert.equal(head.fields.get("te"), "trailers");
  assert.equal(head.fields.raw.slice(0, head.fieldsStart), "GET / HTTP/1.1\r\n");
});

test("every beginning of a valid head is incomplete, never refused", () => {
  const text = "\r\nGET /path HTTP/1.1\r\nHost: example.com\r\nX: y\r\n\r\n";
  for (let length = 0; length < text.length; length++)
    assert.equal(parse(text.slice(0, length)), undefined, String(length));
  assert.ok(parse(text) !== undefined);
});

const ok = "Host: a\r\n";
const refused: readonly [string, string, string][] = [
  ["a method that is no token", "G@T / HTTP/1.1\r\n" + ok, "HG_BAD_REQUEST"],
  ["an unknown method", "FOO / HTTP/1.1\r\n" + ok, "HG_METHOD_NOT_IMPLEMENTED"],
  ["CONNECT", "CONNECT a:443 HTTP/1.1\r\n" + ok, "HG_METHOD_NOT_IMPLEMENTED"],
  ["two spaces before the target", "GET  / HTTP/1.1\r\n" + ok, "HG_BAD_REQUEST"],
  ["no version", "GET /\r\n" + ok, "HG_BAD_REQUEST"],
  ["a space in the target", "GET /a b HTTP/1.1\r\n" + ok, "HG_BAD_REQUEST"],
  ["HTTP/2.0", "GET / HTTP/2.0\r\n" + ok, "HG_HTTP_VERSION"],
  ["HTTP/1.2", "GET / HTTP/1.2\r\n" + ok, "HG_HTTP_VERSION"],
  ["a bare LF after the request line", "GET / HTTP/1.1\n" + ok, "HG_BAD_REQUEST"],
  ["a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n", "HG_BAD_REQUEST"],
  ["a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n", "HG_BAD_REQUEST"],
  ["a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\u0000b\r\n", "HG_BAD_REQUEST"],
  ["a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n", "HG_BAD_REQUEST"],
  ["a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n", "HG_BAD_REQUEST"],
  ["an empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n", "HG_BAD_REQUEST"],
  ["no Host", "GET / HTTP/1.1\r\nX: y\r\n", "HG_BAD_REQUEST"],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", "HG_BAD_REQUEST"],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n", "HG_BAD_REQUEST"],
  ["a Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n", "HG_BAD_REQUEST"],
  ["a target and a Host that differ", "GET http://b/ HTTP/1.1\r\nHost: a\r\n", "HG_BAD_REQUEST"],
  [
    "a length and chunks",
    `POST / HTTP/1.1\r\n${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n`,
    "HG_BAD_REQUEST",
  ],
  ["two equal lengths", `POST / HTTP/1.1\r\n${ok}Content-Length: 1\r\nContent-Length: 1\r\n`, "HG_BAD_REQUEST"],
  ["a list of lengths", `POST / HTTP/1.1\r\n${ok}Content-Length: 1, 1\r\n`, "HG_BAD_REQUEST"],
  ["a signed length", `POST / HTTP/1.1\r\n${ok}Content-Length: +1\r\n`, "HG_BAD_REQUEST"],
  ["an empty length", `POST / HTTP/1.1\r\n${ok}Content-Length:\r\n`, "HG_BAD_REQUEST"],
  ["a length past 2^53", `POST / HTTP/1.1\r\n${ok}Content-Length: 99999999999999999999\r\n`, "HG_BAD_REQUEST"],
  ["gzip, chunked", `POST / HTTP/1.1\r\n${ok}Transfer-Encoding: gzip, chunked\r\n`, "HG_BAD_REQUEST"],
  [
    "chunked twice",
    `POST / HTTP/1.1\r\n${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`,
    "HG_BAD_REQUEST",
  ],
  ["identity", `POST / HTTP/1.1\r\n${ok}Transfer-Encoding: identity\r\n`, "HG_BAD_REQUEST"],
  ["chunks in HTTP/1.0", `POST / HTTP/1.0\r\n${ok}Transfer-Encoding: chunked\r\n`, "HG_BAD_REQUEST"],
  ["another expectation", `POST / HTTP/1.1\r\n${ok}Expect: 200-ok\r\n`, "HG_EXPECTATION_FAILED"],
  ["eleven fields", `GET / HTTP/1.1\r\n${ok}${"X: y\r\n".repeat(10)}`, "HG_HEADERS_TOO_LARGE"],
  ["a head over the limit", `GET / HTTP/1.1\r\n${ok}X: ${"y".repeat(1024)}\r\n`, "HG_HEADERS_TOO_LARGE"],
  ["a target over the limit", `GET /${"y".repeat(64)} HTTP/1.1\r\n${ok}`, "HG_URI_TOO_LONG"],
];

for (const [what, text, code] of refused) {
  test(`${what} is refused with ${code}`, () => {
    assert.throws(
      () => parse(`${text}\r\n`),
      (error) => error instanceof HeadError && error.code === code,
    );
  });
}

test("a head over the limit is refused before its end has come", () => {
  assert.throws(() => parse(`GET / HTTP/1.1\r\nX: ${"y".repeat(1100)}`), { code: "HG_HEADERS_TOO_LARGE" });
});

test("an absolute target gives path and host; without a path it is /", () => {
  const head = parse("GET http://A.example:81?q HTTP/1.1\r\nHost: a.example:81\r\n\r\n");
  assert.deepEqual([head?.target, head?.host], ["/?q", "a.example"]);
});

test("Connection says whether the connection goes on, and names fields that end here", () => {
  const of = (version: string, value: string) =>
    parse(`GET / ${version}\r\n${ok}Connection: ${value}\r\nUpgrade: x\r\n\r\n`);
  assert.equal(of("HTTP/1.1", "close")?.keepAlive, false);
  assert.equal(of("HTTP/1.1", "keep-alive, X-Secret")?.keepAlive, true);
  assert.deepEqual(of("HTTP/1.1", "keep-alive, X-Secret")?.nominated, ["x-secret"]);
  assert.equal(of("HTTP/1.0", "Keep-Alive")?.keepAlive, true);
  assert.equal(of("HTTP/1.0", "x")?.keepAlive, false);
  assert.equal(of("HTTP/1.1", "Upgrade")?.upgrade, true);
  assert.equal(of("HTTP/1.0", "Upgrade")?.upgrade, false);
});

for (const [value, host] of [
  ["EXAMPLE.com", "example.com"],
  ["example.com:8080", "example.com"],
  ["example.com.", "example.com"],
  ["[::1]:80", "[::1]"],
  ["127.0.0.1", "127.0.0.1"],
  ["a:", "a"],
] as const) {
  test(`the host of ${value} is ${host}`, () => assert.equal(hostName(value), host));
}

for (const value of ["", ":80", "a b", "a/b", "[::1", "::1", "a:80:80", "a:999999", "a[b]", "[zz]"]) {
  test(`${JSON.stringify(value)} is no host`, () => {
    assert.throws(() => hostName(value), HeadError);
  });
}
