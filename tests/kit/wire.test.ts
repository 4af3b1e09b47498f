import assert from "node:assert/strict";
import test from "node:test";
import { readRequest, readResponse } from "./wire.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

const framed = [
  { wire: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokNEXT", body: "ok", rest: "NEXT" },
  { wire: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nNEXT", body: "ok", rest: "NEXT" },
  {
    wire: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nx: y\r\n\r\nNEXT",
    body: "ok",
    rest: "NEXT",
  },
  { wire: "HTTP/1.1 204 No Content\r\n\r\nNEXT", body: "", rest: "NEXT" },
];

for (const { wire, body, rest } of framed) {
  test(`a whole response ends where its framing says: ${JSON.stringify(wire)}`, () => {
    const read = readResponse(bytes(wire), 0, "GET", false);
    assert.equal(read?.message.text, body);
    assert.equal(wire.slice(read?.end), rest);
  });

  test(`every shorter part of it is incomplete: ${JSON.stringify(wire)}`, () => {
    for (let cut = 0; cut < wire.length - rest.length; cut++) {
      assert.equal(readResponse(bytes(wire.slice(0, cut)), 0, "GET", false), undefined);
    }
  });
}

test("a response without a length ends with the connection and not before", () => {
  const wire = bytes("HTTP/1.1 200 OK\r\n\r\nall of it");
  assert.equal(readResponse(wire, 0, "GET", false), undefined);
  assert.equal(readResponse(wire, 0, "GET", true)?.message.text, "all of it");
});

test("an answer to HEAD has no body whatever its length says", () => {
  const wire = bytes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  assert.equal(readResponse(wire, 0, "HEAD", false)?.end, wire.length);
});

for (const bad of [
  "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
  "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
  "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  "HTTP/1.1 20 OK\r\n\r\n",
  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
]) {
  test(`an invalid response is an error: ${JSON.stringify(bad)}`, () => {
    assert.throws(() => readResponse(bytes(bad), 0, "GET", true), /not a valid/);
  });
}

test("requests are read one after the other with their trailers", () => {
  const wire = bytes(
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\nT: 1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
  );
  const first = readRequest(wire, 0);
  assert.deepEqual(first?.message.trailers, [["T", "1"]]);
  assert.equal(first.message.get("host"), "x");
  assert.equal(readRequest(wire, first.end)?.message.target, "/b");
});
