import assert from "node:assert/strict";
import test from "node:test";
import { fuzz, judge } from "./fuzz-run.ts";
import { compare } from "./outcome.ts";

test("thirty thousand damaged inputs: what ours accepts, node's parser accepts alike", () => {
  const report = fuzz({ inputs: 30_000, seed: 20_260_101, failuresMax: 3 });
  const shown = report.failures.map(({ index, kind, reason, input }) => `${kind} ${index}: ${reason}\n${input}`);
  assert.deepEqual(shown, []);
  // Inputs that both refuse at the first byte would agree without showing anything.
  assert.ok(report.messages > 5_000, `only ${report.messages} messages were read`);
});

const request = (rest: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${rest}`;

// Each was found by the fuzzer or is what it exists to find: with a parser that accepts, the verdict is `differs`.
const refusedByNode: readonly string[] = [
  request("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
  request("Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
  request("Content-Length: +1\r\n\r\nx"),
  request("Transfer-Encoding: chunked\r\n\r\n1;\r\nx\r\n0\r\n\r\n"),
  request("Transfer-Encoding: chunked\r\n\r\n1;a b\r\nx\r\n0\r\n\r\n"),
  request("Transfer-Encoding: chunked\r\n\r\n1;\x80\r\nx\r\n0\r\n\r\n"),
  request("Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n"),
  request("Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n"),
  request("A: b\r\n c\r\n\r\n"),
  request("A : b\r\n\r\n"),
  request("A: b\nC: d\r\n\r\n"),
];

for (const input of refusedByNode) {
  test(`ours refuses what node refuses: ${JSON.stringify(input)}`, () => {
    assert.notEqual(judge("request", input).kind, "differs");
  });
}

test("the comparison notices a difference in where a body ends", () => {
  const seen = (body: string) => ({
    messages: [{ line: "GET /", fields: [], body, trailers: [], complete: true }],
    end: "complete" as const,
    reason: "",
  });
  assert.equal(compare(seen("a"), seen("ab")).kind, "differs");
  assert.equal(compare(seen("a"), seen("a")).kind, "agree");
  assert.equal(compare(seen("a"), { messages: [], end: "refused", reason: "x" }).kind, "differs");
  assert.equal(compare({ messages: [], end: "refused", reason: "x" }, seen("a")).kind, "stricter");
});
