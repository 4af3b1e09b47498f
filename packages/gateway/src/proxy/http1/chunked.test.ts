import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ChunkedDecoder } from "./chunked.ts";

/** Feeds the text in pieces of the given sizes; returns what is passed on and where the body ended. */
function run(
  text: string,
  sizes: readonly number[],
  dataOnly = false,
): { passed: string; end: number; decoder: ChunkedDecoder } {
  const decoder = new ChunkedDecoder();
  const bytes = Buffer.from(text, "latin1");
  let passed = "";
  let at = 0;
  for (let i = 0; !decoder.done && at < bytes.length; i++) {
    const to = Math.min(bytes.length, at + (sizes[i % sizes.length] ?? 1));
    const end = decoder.feed(bytes, at, to, (from, until) => (passed += bytes.latin1Slice(from, until)), dataOnly);
    assert.ok(decoder.done || end === to, "an unfinished body takes every byte");
    at = end;
  }
  return { passed, end: at, decoder };
}

test("however it is cut, framing passes without extensions, data passes whole, and what follows is left alone", () => {
  const chunk = fc.record({
    data: fc.string({ minLength: 1, maxLength: 40, unit: "binary-ascii" }),
    extension: fc.constantFrom("", ";a", ";a=b", ';x="y;\\" z";b'),
    upper: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(chunk, { maxLength: 6 }),
      fc.constantFrom("", "X-T: 1\r\n", "x-a: 1\r\nCookie: 5\r\n"),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 }),
      (chunks, trailers, sizes) => {
        const size = (data: string, upper: boolean) =>
          upper ? data.length.toString(16).toUpperCase() : data.length.toString(16);
        const body = `${chunks.map((c) => `${size(c.data, c.upper)}${c.extension}\r\n${c.data}\r\n`).join("")}0\r\n${trailers}\r\n`;
        const clean = `${chunks.map((c) => `${size(c.data, c.upper)}\r\n${c.data}\r\n`).join("")}0\r\n`;
        const data = chunks.map((c) => c.data).join("");
        const coded = run(`${body}GET / NEXT`, sizes);
        assert.equal(coded.passed, clean);
        assert.equal(coded.end, body.length);
        assert.equal(coded.decoder.dataBytes, data.length);
        const kept = trailers.replace("Cookie: 5\r\n", "");
        assert.equal(coded.decoder.lastLines, `${kept}\r\n`);
        assert.equal(run(`${body}GET / NEXT`, sizes, true).passed, data);
      },
    ),
  );
});

for (const [what, text] of [
  ["an empty size", "\r\n"],
  ["a size that is not hexadecimal", "g\r\n"],
  ["a size with a prefix", "0x5\r\nhello\r\n"],
  ["a signed size", "+5\r\nhello\r\n"],
  ["a space behind the size", "5 \r\nhello\r\n"],
  ["a size of 14 digits", "00000000000005\r\nhello\r\n"],
  ["a bare LF behind the size", "5\nhello\r\n"],
  ["a bare CR behind the size", "5\rhello"],
  ["a chunk that is longer than its size", "5\r\nhello!\r\n"],
  ["a chunk without CRLF behind it", "5\r\nhello\n0\r\n"],
  ["a bare LF in an extension", "5;a\nhello\r\n"],
  ["a NUL in an extension", "5;a\u0000\r\nhello\r\n"],
  ["an empty extension", "5;\r\nhello\r\n"],
  ["a space in an extension", "5; a\r\nhello\r\n"],
  ["an extension without its value", "5;a=\r\nhello\r\n"],
  ["a quote that does not close", '5;a="b\r\nhello\r\n'],
  ["a length in the trailers", "0\r\nContent-Length: 5\r\n\r\n"],
  ["a very long extension", `5;${"a".repeat(300)}\r\nhello\r\n`],
  ["a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"],
  ["a bare LF in the trailers", "0\r\nA: b\n\r\n"],
  ["trailers without end", `0\r\nA: ${"b".repeat(9000)}`],
] as const) {
  test(`${what} is refused, also byte by byte`, () => {
    assert.throws(() => run(text, [10_000]), { code: "HG_BAD_REQUEST" });
    assert.throws(() => run(text, [1]), { code: "HG_BAD_REQUEST" });
  });
}
