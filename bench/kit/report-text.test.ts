import assert from "node:assert/strict";
import { test } from "node:test";
import { fillBlock, fullReport, summary } from "./report-text.ts";
import type { Results } from "./results.ts";

const results: Results = {
  machine: { cpu: "Test CPU", cores: 2, memoryGb: 4, kernel: "6.1", versions: { node: "24.0.0" } },
  scenarios: [
    {
      name: "small-64",
      title: "Small answers",
      columns: ["", "CPU", "median", "× nginx", "requests/s", "p50 ms", "p99 ms"],
      rows: [["headgate", 20.25, 21, 1.2, 30000, 1, 2]],
      checks: [{ what: "Ratio", value: 1.7, bound: "at most", limit: 1.6, unit: "×" }],
      notes: ["haproxy did not run"],
      date: "2026-01-02T03:04:05.000Z",
      roundsRun: 5,
      secondsPerRound: 2,
    },
  ],
};

test("only the text between the markers is replaced", () => {
  const filled = fillBlock("a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n", "new\n");
  assert.equal(filled, "a\n<!-- bench:begin -->\n\nnew\n\n<!-- bench:end -->\nb\n");
});

test("a page without both markers in order is refused", () => {
  for (const page of ["", "<!-- bench:begin -->", "<!-- bench:end --><!-- bench:begin -->"]) {
    assert.equal(fillBlock(page, "new"), undefined, page);
  }
});

test("a check that failed is reported as not met", () => {
  for (const text of [summary(results), fullReport(results)]) {
    assert.match(text, /Ratio: 1\.70×, at most 1\.6× wanted: \*\*not met\*\*/);
  }
});

test("the full report names what did not run", () => {
  assert.match(fullReport(results), /haproxy did not run/);
});

test("the summary shows the machine and the headline columns", () => {
  const text = summary(results);
  assert.match(text, /\| headgate \| 20\.3 \| 1\.20 \| 30000 \| 2 \|/);
  assert.match(text, /2 cores of Test CPU/);
});
