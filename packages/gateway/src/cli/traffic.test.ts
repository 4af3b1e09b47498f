import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMetrics } from "./prometheus.ts";
import { ratesBetween, readTraffic } from "./traffic.ts";

test("a metrics page is read as it is written, labels with quotes and line breaks too", () => {
  const page = [
    "# HELP a Some.",
    "# TYPE a counter",
    'a{x="1",y="a\\"b\\\\c\\nd}"} 3',
    "a 4",
    "a +Inf",
    "a NaN",
    'ab{x="1"} 5',
    "b",
    "",
  ].join("\n");
  assert.deepEqual(
    [...parseMetrics(page, new Set(["a", "none"]))],
    [
      [
        "a",
        [
          { labels: { x: "1", y: 'a"b\\c\nd}' }, value: 3 },
          { labels: {}, value: 4 },
          { labels: {}, value: Infinity },
        ],
      ],
      ["none", []],
    ],
  );
});

/** A page with requests of one route: answered within 10 ms, within 100 ms, and later than the last bound. */
function page(status: string, fast: number, slow: number, late: number, cpu: number): string {
  const labels = 'route="a",service="s"';
  return [
    `headgate_requests_total{${labels},method="GET",status="${status}"} ${fast + slow + late}`,
    'headgate_requests_total{route="idle",service="s",method="GET",status="200"} 5',
    `headgate_request_duration_seconds_bucket{${labels},le="0.01"} ${fast}`,
    `headgate_request_duration_seconds_bucket{${labels},le="0.1"} ${fast + slow}`,
    `headgate_request_duration_seconds_bucket{${labels},le="+Inf"} ${fast + slow + late}`,
    'headgate_connections{state="open"} 17',
    'headgate_event_loop_utilization{worker="1"} 0.5',
    `process_cpu_seconds_total ${cpu}`,
    "process_resident_memory_bytes 1048576",
  ].join("\n");
}

test("rates are those between two readings", () => {
  const before = readTraffic(page("200", 100, 10, 1, 5), 1_000);
  const rates = ratesBetween(before, readTraffic(page("200", 200, 10, 1, 6), 3_000));
  const a = {
    route: "a",
    requestsPerSecond: 50,
    clientErrorsPerSecond: 0,
    serverErrorsPerSecond: 0,
    p50Seconds: 0.005,
    p99Seconds: 0.0099,
  };
  assert.deepEqual(rates, {
    all: { ...a, route: "" },
    routes: [a],
    connections: 17,
    cpu: 0.5,
    residentBytes: 1_048_576,
    utilization: [0.5],
  });
});

for (const [what, after, p50, p99] of [
  ["in two buckets", page("200", 1, 99, 0, 1), 0.01 + 0.09 * (49 / 99), 0.01 + 0.09 * (98 / 99)],
  ["beyond the last bound", page("200", 0, 0, 10, 1), 0.1, 0.1],
  ["nowhere", page("200", 0, 0, 0, 1), undefined, undefined],
] as const) {
  test(`quantiles of requests that lie ${what}`, () => {
    const { all } = ratesBetween(readTraffic(page("200", 0, 0, 0, 1), 0), readTraffic(after, 1_000));
    for (const [found, expected] of [
      [all.p50Seconds, p50],
      [all.p99Seconds, p99],
    ] as const) {
      if (expected === undefined) assert.equal(found, undefined);
      else assert.ok(Math.abs((found ?? NaN) - expected) < 1e-9, `${found} is not ${expected}`);
    }
  });
}

test("errors are counted by whose they are, and a gateway that was started again counts from nothing", () => {
  const before = readTraffic(page("200", 1_000, 0, 0, 50), 0);
  const { all } = ratesBetween(before, readTraffic(page("503", 4, 0, 0, 1), 1_000));
  // With the five of the other route, which it counted since its new start.
  assert.deepEqual([all.requestsPerSecond, all.serverErrorsPerSecond, all.clientErrorsPerSecond], [9, 4, 0]);
  const missing = ratesBetween(readTraffic("", 0), readTraffic(page("404", 3, 0, 0, 1), 1_000));
  assert.equal(missing.all.clientErrorsPerSecond, 3);
  assert.deepEqual(
    missing.routes.map(({ route }) => route),
    ["idle", "a"],
  );
});
