import assert from "node:assert/strict";
import { test } from "node:test";
import { findOutliers } from "./find-outliers.ts";

/** Percentages of failures, and of how many requests each. */
function found(shares: readonly number[], requests: number | readonly number[] = 1_000): number[] {
  const samples = shares.map((share, index) => {
    const of = typeof requests === "number" ? requests : (requests[index] ?? 0);
    return { index, requests: of, failures: Math.round((share / 100) * of) };
  });
  return findOutliers(samples).map(({ index }) => index);
}

const cases: readonly [name: string, shares: readonly number[], requests: number | readonly number[], out: number[]][] =
  [
    // Envoy's example: mean 90, deviation 20, so below 52.
    ["far below the mean", [50, 0, 0, 0, 0], 100, [0]],
    ["all alike, perfect", [0, 0, 0, 0, 0], 1_000, []],
    ["all alike, failing all", [100, 100, 100, 100, 100], 1_000, []],
    ["all alike at a share without an exact number", [1, 1, 1, 1, 1, 1, 1], 100, []],
    ["a single failure where the others have none", [1, 0, 0, 0, 0], 100, []],
    ["six of a hundred where the others have few", [7, 0, 1, 0, 0], 1_000, [0]],
    ["two of ten", [60, 70, 0, 0, 0, 0, 0, 0, 0, 0], 1_000, [1]],
    ["too few requests of the one that fails", [100, 0, 0, 0, 0, 0], [99, 100, 100, 100, 100, 100], []],
    ["one of four", [50, 0, 0, 0], 20, [0]],
    ["one of two", [0, 60], 20, [1]],
    ["below half", [49, 0, 0], 100, []],
    ["too few requests", [100, 0, 0], [19, 50, 50], []],
    ["nobody to compare with", [100, 0, 0], [50, 19, 19], []],
    ["the worst first", [60, 0, 90, 0], 50, [2, 0]],
    ["two of three fail", [90, 80, 0], 50, []],
    ["half are well", [90, 80, 0, 10], 50, [0, 1]],
    ["the others are neither well nor bad", [90, 30, 30], 50, []],
    ["one alone", [100], 1_000, []],
    ["none", [], 0, []],
  ];

for (const [name, shares, requests, out] of cases) {
  test(`${out.length === 0 ? "nobody" : out.join(" and ")}: ${name}`, () => {
    assert.deepEqual(found(shares, requests), out);
  });
}
