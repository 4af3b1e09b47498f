import assert from "node:assert/strict";
import { test } from "node:test";
import { holds, merge } from "./results.ts";
import { median, pairedRatio } from "./statistics.ts";
import { parseStrace } from "./strace.ts";
import { cellText } from "./table.ts";
import { parseWrk } from "./wrk.ts";
import type { Check, KeptScenario, Results } from "./results.ts";

test("the median is the middle value and does not depend on the order", () => {
  assert.equal(median([30, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 3);
  assert.ok(Number.isNaN(median([])));
});

test("a paired ratio is not moved by a round that was slow for both", () => {
  assert.equal(pairedRatio([20, 200, 20], [10, 100, 10]), 2);
});

test("a round that only one side has is left out of a paired ratio", () => {
  assert.equal(pairedRatio([20, 999], [10]), 2);
});

test("wrk's line of JSON is found behind its own text, and all socket errors are summed", () => {
  const json =
    '{"requests":1000,"durationUs":2000000,"bytes":5,"p50Us":7,"p99Us":9,"maxUs":11,' +
    '"failedStatus":3,"connect":1,"read":2,"write":4,"timeout":8}';
  assert.deepEqual(parseWrk(`Running 2s test\nRequests/sec: 500\n${json}\n`), {
    requests: 1000,
    seconds: 2,
    bytes: 5,
    p50Us: 7,
    p99Us: 9,
    maxUs: 11,
    failedStatus: 3,
    socketErrors: 15,
  });
});

test("wrk's output without a result is an error that shows the output", () => {
  assert.throws(() => parseWrk("unable to connect"), /unable to connect/);
  assert.throws(() => parseWrk('{"requests":1}'), /durationUs/);
});

test("strace's table is read with and without a count of errors, most frequent first", () => {
  const table = [
    "% time     seconds  usecs/call     calls    errors syscall",
    "------ ----------- ----------- --------- --------- ----------------",
    " 60.00    0.600000           3       200           writev",
    " 40.00    0.400000           1       400        20 recvfrom",
    "------ ----------- ----------- --------- --------- ----------------",
    "100.00    1.000000           1       600        20 total",
  ].join("\n");
  assert.deepEqual(
    [...parseStrace(table)],
    [
      ["recvfrom", 400],
      ["writev", 200],
    ],
  );
});

const scenario = (name: string, title: string): KeptScenario => ({
  name,
  title,
  columns: [],
  rows: [],
  checks: [],
  notes: [],
  date: "2026-01-02T03:04:05.000Z",
  roundsRun: 1,
  secondsPerRound: 1,
});
const resultsOn = (kernel: string, ...scenarios: KeptScenario[]): Results => ({
  machine: { cpu: "c", cores: 2, memoryGb: 4, kernel, versions: {} },
  scenarios,
});

test("a scenario that ran again takes the place of its old figures", () => {
  const merged = merge(
    resultsOn("6.1", scenario("a", "old"), scenario("b", "old")),
    resultsOn("6.1", scenario("a", "new"), scenario("c", "new")),
  );
  assert.deepEqual(
    merged.scenarios.map(({ name, title }) => `${name} ${title}`),
    ["a new", "b old", "c new"],
  );
});

test("figures of another machine are kept and say which, also after a third one", () => {
  const first = merge(resultsOn("6.1", scenario("a", "old")), resultsOn("6.2", scenario("b", "new")));
  const merged = merge(first, resultsOn("6.3", scenario("c", "newer")));
  assert.deepEqual(
    merged.scenarios.map(({ name, machine }) => [name, machine?.kernel]),
    [
      ["a", "6.1"],
      ["b", "6.2"],
      ["c", undefined],
    ],
  );
  const again = merge(merged, resultsOn("6.3", scenario("a", "again")));
  assert.equal(again.scenarios.find(({ name }) => name === "a")?.machine, undefined);
});

test("a check holds at its limit and not beyond", () => {
  const check = (value: number, bound: Check["bound"]): boolean =>
    holds({ what: "w", value, bound, limit: 2, unit: "" });
  assert.equal(check(2, "at most"), true);
  assert.equal(check(2.1, "at most"), false);
  assert.equal(check(2, "at least"), true);
  assert.equal(check(1.9, "at least"), false);
  assert.equal(check(NaN, "at most"), false);
});

test("cells are rounded to what the measurement can tell", () => {
  const table: [cell: string | number, text: string][] = [
    ["nginx", "nginx"],
    [1.234, "1.23"],
    [12.34, "12.3"],
    [1234.5, "1235"],
    [7, "7"],
    [NaN, "-"],
    [Infinity, "-"],
  ];
  for (const [cell, text] of table) assert.equal(cellText(cell), text);
});
