import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { parseWith } from "./problems.ts";
import {
  bytes,
  duration,
  formatBytes,
  formatDuration,
  parseBytes,
  parseDuration,
  parseRatio,
  ratio,
  timeout,
} from "./units.ts";

const durations: [string, number | undefined][] = [
  ["250ms", 250],
  ["1.5s", 1500],
  ["1.1s", 1100],
  ["1m", 60_000],
  ["1h", 3_600_000],
  ["1m30s", 90_000],
  ["0ms", 0],
  ["0.5ms", 0.5],
  ["", undefined],
  ["10", undefined],
  ["1 s", undefined],
  ["-1s", undefined],
  ["1S", undefined],
  ["1d", undefined],
  [".5s", undefined],
  ["1e3ms", undefined],
  ["99999999999h", undefined],
];
for (const [text, ms] of durations) {
  test(`parseDuration reads ${JSON.stringify(text)} as ${ms}`, () => assert.equal(parseDuration(text), ms));
}

const sizes: [string, number | undefined][] = [
  ["64KiB", 65_536],
  ["10MB", 10_000_000],
  ["512B", 512],
  ["4096", 4096],
  ["1.5KiB", 1536],
  ["1GiB", 1_073_741_824],
  ["0.3B", undefined],
  ["10mb", undefined],
  ["-1", undefined],
  ["9007199254740993", undefined],
  ["", undefined],
];
for (const [text, size] of sizes) {
  test(`parseBytes reads ${JSON.stringify(text)} as ${size}`, () => assert.equal(parseBytes(text), size));
}

const ratios: [string, number | undefined][] = [
  ["20%", 0.2],
  ["0.2", 0.2],
  ["100%", 1],
  ["0", 0],
  ["101%", undefined],
  ["1.5", undefined],
  ["%", undefined],
  ["-1%", undefined],
];
for (const [text, share] of ratios) {
  test(`parseRatio reads ${JSON.stringify(text)} as ${share}`, () => assert.equal(parseRatio(text), share));
}

test("a formatted duration is read back exactly", () => {
  fc.assert(fc.property(fc.nat({ max: 1e10 }), (ms) => assert.equal(parseDuration(formatDuration(ms)), ms)));
  fc.assert(
    fc.property(fc.nat({ max: 1e9 }), (us) => assert.equal(parseDuration(formatDuration(us / 1000)), us / 1000)),
  );
});

test("formatted bytes are read back exactly", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (size) => assert.equal(parseBytes(formatBytes(size)), size)));
});

test("durations, sizes and ratios format in the unit a person would choose", () => {
  assert.equal(formatDuration(1500), "1.5s");
  assert.equal(formatDuration(90_000), "90s");
  assert.equal(formatDuration(120_000), "2m");
  assert.equal(formatBytes(65_536), "64KiB");
  assert.equal(formatBytes(10_000_000), "10MB");
});

test("the builders take text and give numbers, also as defaults", () => {
  const schema = z.strictObject({ per: duration(), max: bytes().prefault("1MiB"), share: ratio(), wait: timeout() });
  const parsed = parseWith(schema, { per: "1s", share: "20%", wait: "5s" }, []);
  assert.deepEqual(parsed, { ok: true, value: { per: 1000, max: 1_048_576, share: 0.2, wait: 5000 }, problems: [] });
});

test("the builders say what they expect and which bound is broken", () => {
  const schema = z.strictObject({ a: duration(), b: bytes({ min: 1024 }), c: ratio(), d: timeout(), e: bytes() });
  const { problems } = parseWith(schema, { a: 10, b: "1B", c: 2, d: "0ms", e: 1.5 }, []);
  assert.deepEqual(
    problems.map(({ path, message }) => [path.join("."), message]),
    [
      ["a", 'expected a duration such as "250ms", "1.5s", "1m" or "1h"'],
      ["b", "must be at least 1KiB"],
      ["c", 'expected a share: a number from 0 to 1, or a percentage such as "20%"'],
      ["d", "must be at least 1ms"],
      ["e", 'expected a size such as "64KiB", "10MB", "512B" or a number of bytes'],
    ],
  );
});
