import assert from "node:assert/strict";
import { test } from "node:test";
import { Fields } from "./fields.ts";
import { parseRequestHead } from "./parse-head.ts";
import { fieldLines, restoredLength } from "./write-head.ts";

const limits = { headBytes: 4096, headers: 100, uriBytes: 100 };

function head(lines: string) {
  const bytes = Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`, "latin1");
  const parsed = parseRequestHead(bytes, 0, bytes.length, limits);
  assert.ok(parsed !== undefined);
  return { ...parsed, lines: () => fieldLines(parsed.fields, parsed.fieldsStart, parsed.hopByHop, parsed.nominated) };
}

test("an unchanged head passes as it came, without hop-by-hop fields", () => {
  const { lines } = head("Connection: keep-alive\r\nX-A:1\r\nx-b:  2 \r\nTE: trailers\r\nKeep-Alive: 5\r\nX-C: 3\r\n");
  assert.equal(lines(), "Host: a\r\nX-A:1\r\nx-b:  2 \r\nX-C: 3\r\n");
});

test("fields that Connection names end here, but never those that frame or route the message", () => {
  const { lines } = head("X-Hop: 1\r\nConnection: x-hop, content-length, host\r\nContent-Length: 3\r\nX-C: 3\r\n");
  assert.equal(lines(), "Host: a\r\nContent-Length: 3\r\nX-C: 3\r\n");
});

test("removed fields are left out wherever they stand, added ones come last", () => {
  const { lines, fields } = head("X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n");
  fields.delete("x-a");
  fields.delete("host");
  fields.append("X-D", "4");
  fields.set("x-b", "5");
  assert.equal(lines(), "X-D: 4\r\nx-b: 5\r\n");
});

test("a step cannot say how a message is framed", () => {
  const { lines, fields } = head("Content-Length: 3\r\n");
  fields.set("content-length", "99");
  fields.append("Transfer-Encoding", "chunked");
  fields.append("Connection", "close");
  assert.equal(lines(), "Host: a\r\n");
  assert.equal(restoredLength(fields, 3), "content-length: 3\r\n");
});

test("a block that was made here is written in order", () => {
  assert.equal(fieldLines(Fields.from({ a: "1", b: "2" }), 0, [], undefined), "a: 1\r\nb: 2\r\n");
});

test("a field that is not valid in HTTP is refused where it is set", () => {
  const fields = new Fields();
  for (const [name, value] of [
    ["a b", "1"],
    ["", "1"],
    ["a", "1\r\nb: 2"],
    ["a", "1\n"],
    ["a", "\u0000"],
    ["a", "€"],
  ] as const) {
    assert.throws(() => fields.append(name, value), TypeError);
  }
  fields.append("a", "tab\tand \xff pass");
  assert.equal(fields.get("A"), "tab\tand \xff pass");
});

test("names are compared without case, and a tilde is not a caret", () => {
  const { fields } = head("X-^: 1\r\nX-Multi: a\r\nx-multi: b\r\n");
  assert.equal(fields.get("x-~"), undefined);
  assert.equal(fields.get("X-^"), "1");
  assert.deepEqual(fields.getAll("X-MULTI"), ["a", "b"]);
});
