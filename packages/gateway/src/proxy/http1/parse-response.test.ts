import assert from "node:assert/strict";
import { test } from "node:test";
import { parseResponseHead } from "./parse-response.ts";

const limits = { headBytes: 1024, headers: 10, uriBytes: 0 };
const parse = (text: string, method = "GET") =>
  parseResponseHead(Buffer.from(text, "latin1"), 0, text.length, method, limits);

test("every beginning of a valid head is incomplete, never refused", () => {
  const text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
  for (let length = 0; length < text.length; length++)
    assert.equal(parse(text.slice(0, length)), undefined, String(length));
  assert.equal(parse(text)?.contentLength, 2);
});

for (const [what, method, head, framing] of [
  ["a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "length"],
  ["a length of zero", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "none"],
  ["chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", "chunked"],
  ["neither", "GET", "HTTP/1.1 200 OK\r\n", "close"],
  ["an answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "none"],
  ["204", "GET", "HTTP/1.1 204 No Content\r\n", "none"],
  ["304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", "none"],
  ["100", "GET", "HTTP/1.1 100 Continue\r\n", "none"],
  ["no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n", "length"],
  ["an empty reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 2\r\n", "length"],
] as const) {
  test(`the body behind ${what} is framed by ${framing}`, () =>
    assert.equal(parse(`${head}\r\n`, method)?.framing, framing));
}

test("the connection can be used again unless the answer says or implies otherwise", () => {
  assert.equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?.keepAlive, true);
  assert.equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?.keepAlive, false);
  assert.equal(parse("HTTP/1.1 200 OK\r\n\r\n")?.keepAlive, false);
  assert.equal(parse("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")?.keepAlive, false);
  assert.equal(parse("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")?.keepAlive, true);
  assert.equal(
    parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5, max=100\r\n\r\n")?.keepAliveMs,
    5000,
  );
});

for (const [what, text] of [
  ["another protocol", "SSH-2.0-OpenSSH\r\n"],
  ["HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status under 100", "HTTP/1.1 099 OK\r\n\r\n"],
  ["a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
  ["a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"],
  ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
  ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"],
  ["chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"],
  ["a head over the limit", `HTTP/1.1 200 OK\r\nX: ${"y".repeat(1100)}`],
] as const) {
  test(`${what} from an instance is refused with HG_UPSTREAM_PROTOCOL`, () => {
    assert.throws(() => parse(text), { code: "HG_UPSTREAM_PROTOCOL" });
  });
}
