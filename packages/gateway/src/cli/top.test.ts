import assert from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import { test, type TestContext } from "node:test";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { fakeAdmin, problem, run, startCommand, type Answer, type RunOptions } from "./cli.fixtures.ts";
import { paintFor } from "./output.ts";
import { gatewayNode, status } from "./status.fixtures.ts";
import { frameLines } from "./top-frame.ts";
import type { RouteRates } from "./traffic.ts";

const page = (requests: number, status = 200): readonly [number, string] => [
  200,
  [
    `headgate_requests_total{route="users",service="s",method="GET",status="${status}"} ${requests}`,
    `headgate_request_duration_seconds_bucket{route="users",service="s",le="0.01"} ${requests}`,
    `headgate_request_duration_seconds_bucket{route="users",service="s",le="+Inf"} ${requests}`,
    'headgate_connections{state="active"} 3',
    'headgate_event_loop_utilization{worker="1"} 0.95',
    "process_cpu_seconds_total 1",
    "process_resident_memory_bytes 104857600",
  ].join("\n"),
];

/** `top` against pages that are served one after the other; `next` lets the interval pass. */
async function top(t: TestContext, pages: readonly Answer[], args: readonly string[] = [], options: RunOptions = {}) {
  const answers = { "GET /metrics": pages, "GET /v1/status": [200, status] } as const;
  const { address } = await fakeAdmin(t, answers);
  const command = await startCommand(t, address, ["top", ...args], options);
  const next = async (): Promise<void> => {
    // Everything was answered when nothing but the interval is waited for.
    await waitFor(() => command.waits().join() === "1000", { what: "the answers" });
    command.clock.advance(1_000);
  };
  return { ...command, next };
}

test("top --once prints what happened in one interval and ends", async (t) => {
  const { done, said, next } = await top(t, [page(100), page(350)], ["--once"]);
  await next();
  assert.equal(await done, 0);
  assert.deepEqual(said.out.split("\n"), [
    "headgate top  gw1  revision 42  serving",
    "250 requests/s   4xx 0.0/s   5xx 0.0/s   p50 5.00 ms   p99 9.90 ms",
    "3 connections   CPU 0 %   memory 100 MiB   event loops 95 %",
    "",
    "ROUTE  REQUESTS/S  4XX/S  5XX/S  P50      P99",
    "users  250         0.0    0.0    5.00 ms  9.90 ms",
    "",
  ]);
});

test("without a terminal frames follow one another until it is interrupted", async (t) => {
  const { done, said, next, interrupt } = await top(t, [page(0), page(1), page(3)]);
  await next();
  await waitFor(() => said.out.includes("1.0 requests/s"), { what: "a frame" });
  await next();
  await waitFor(() => said.out.includes("2.0 requests/s"), { what: "the next frame" });
  interrupt();
  assert.equal(await done, 0);
  assert.doesNotMatch(said.out, /\u001b/);
});

test("-o json prints an object for each interval", async (t) => {
  const { done, said, next } = await top(t, [page(0), page(7, 500)], ["--once", "-o", "json"]);
  await next();
  assert.equal(await done, 0);
  const frame = JSON.parse(said.out) as { time: string; revision: number; routes: RouteRates[] };
  assert.deepEqual([frame.time, frame.revision], ["2026-01-01T00:00:01.000Z", 42]);
  assert.deepEqual(
    frame.routes.map(({ route, serverErrorsPerSecond }) => [route, serverErrorsPerSecond]),
    [["users", 7]],
  );
});

test("on a terminal frames are drawn over one another, q ends it, and the terminal is given back", async (t) => {
  let press: (key: string) => void = () => undefined;
  let stopped = false;
  const keys = (listener: (key: string) => void) => {
    press = listener;
    return () => void (stopped = true);
  };
  const screen = { columns: () => 30, rows: () => 5, keys };
  const { done, said, next } = await top(t, [page(0), page(1)], [], { screen });
  await next();
  await waitFor(() => said.out.includes("\u001b[J"), { what: "a frame" });
  press("x");
  press("q");
  assert.equal(await done, 0);
  assert.equal(stopped, true);
  assert.ok(said.out.startsWith("\u001b[?1049h\u001b[?25l") && said.out.endsWith("\u001b[?25h\u001b[?1049l"));
  const lines = stripVTControlCharacters(said.out).split("\r\n");
  assert.equal(lines.length, 5);
  assert.ok(lines.every((line) => line.length <= 30));
});

test("a gateway that goes away is waited for; the frame says so", async (t) => {
  const { done, said, next, interrupt } = await top(t, [page(0), problem(503, "Nothing is live yet."), page(9)]);
  await next();
  await waitFor(() => said.out.includes("Nothing is live yet."), { what: "the frame without an answer" });
  await next();
  await waitFor(() => said.out.includes("4.5 requests/s"), { what: "the frame after it" });
  interrupt();
  assert.equal(await done, 0);
});

test("a gateway that is not there at first, or refuses, ends it in 3", async (t) => {
  const refused = await run(t, { "GET /metrics": problem(401, "No."), "GET /v1/status": problem(401, "No.") }, ["top"]);
  assert.equal(refused.code, 3);
  const { done, next } = await top(t, [page(0), problem(503, "Gone.")], ["--once"]);
  await next();
  assert.equal(await done, 3);
  for (const interval of ["now", "1ms"]) {
    assert.equal((await run(t, {}, ["top", "--interval", interval])).code, 2);
  }
});

test("what does not fit is counted: routes, gateways and problems", () => {
  const quiet = { clientErrorsPerSecond: 0, serverErrorsPerSecond: 2, p50Seconds: 1.5, p99Seconds: undefined };
  const routes = Array.from({ length: 100 }, (_, index) => ({
    route: index === 0 ? "" : `r${index}`,
    requestsPerSecond: 1_000,
    ...quiet,
  }));
  const rates = {
    all: { route: "", requestsPerSecond: 12_345, ...quiet },
    routes,
    connections: 1,
    cpu: 1.5,
    residentBytes: 0,
    utilization: [],
  };
  const problems = Array.from({ length: 12 }, (_, index) => ({
    severity: "error" as const,
    path: "",
    message: `problem ${index}`,
    hint: "mend it",
  }));
  const notUp = Array.from({ length: 15 }, (_, index) => ({
    ...{ service: "users", address: `a${index}:1`, state: "unhealthy" as const, reason: "3 checks failed" },
  }));
  const nodes = Array.from({ length: 25 }, (_, index) => gatewayNode(`gw${index}`));
  const lines = frameLines(
    {
      status: { ...status, nodes, problems, configSource: "cache", health: { instances: 20, up: 5, notUp } },
      rates,
      failure: undefined,
    },
    paintFor(true, {}),
    200,
    80,
  );
  const shown = lines.map(stripVTControlCharacters);
  assert.ok(shown.length <= 80);
  assert.match(shown[0] ?? "", /saved: the store does not answer/);
  assert.match(shown[1] ?? "", /^12,345 requests\/s .*p50 1\.50 s {3}p99 -$/);
  assert.ok(shown.some((line) => /^\(no route\) +1,000 /.test(line)));
  assert.ok(shown.some((line) => /^and \d+ more routes$/.test(line)));
  assert.ok(shown.some((line) => /^and 7 more gateways$/.test(line)));
  assert.ok(shown.some((line) => /^users +a0:1 +unhealthy +3 checks failed$/.test(line)));
  assert.ok(shown.some((line) => /^and 7 more instances$/.test(line)));
  assert.equal(shown.at(-1), "and 3 more problems");
  assert.ok(shown.includes("problem 0; mend it"));
  assert.ok(lines.some((line) => line.includes("\u001b[31m5xx 2.0/s")));
});
