import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../../tests/kit/clock.ts";
import { pass } from "../../../../../tests/kit/fake-timers.ts";
import { MetricsPage } from "../../telemetry/metrics-page.ts";
import { showHealth } from "./health-metrics.ts";
import { check, open } from "./monitor.fixtures.ts";
import { reportMsMax } from "./report.ts";

/** The series of metrics that the monitor shows, without the prefix. */
async function shown({ monitor, clock }: ReturnType<typeof open>): Promise<string[]> {
  const page = new MetricsPage();
  showHealth(page, monitor.services, { clock, random: seededRandom(1) });
  let text = "";
  for await (const piece of page.render(() => Promise.resolve())) text += piece;
  return text.split("\n").flatMap((line) => /^headgate_((?:instance|circuit|concurrency)_.*)/.exec(line)?.[1] ?? []);
}

test("instances are up or not, also those that drain, and gone when they are", async (t) => {
  const bench = open(t);
  const { clock, sick, registered, monitor, set } = bench;
  sick.add("a:1");
  registered.push({ address: "c:1", status: "DRAINING", weight: 1 });
  set(["a:1", "b:1"], { healthCheck: check, discover: { etcd: "users" } });
  await pass(clock, 1_000, 100);
  assert.deepEqual(await shown(bench), [
    'instance_up{service="users",instance="a:1"} 0',
    'instance_up{service="users",instance="b:1"} 1',
    'instance_up{service="users",instance="c:1"} 0',
  ]);
  registered.length = 0;
  monitor.renewed(new Set(["users"]));
  set(["b:1"]);
  assert.deepEqual(await shown(bench), ['instance_up{service="users",instance="b:1"} 1']);
});

test("reported load is shown as long as it counts, in base units", async (t) => {
  const bench = open(t);
  bench.set(["a:1", "b:1"]);
  bench.report("a:1", { metrics: { cpuUsage: 0.65, memoryUsage: 0.72, requestLatencyMs: 45 } });
  bench.report("b:1", { metrics: { cpuUsage: 0.1 } });
  assert.deepEqual(
    (await shown(bench)).filter((line) => !line.startsWith("instance_up")),
    [
      'instance_cpu_usage{service="users",instance="a:1"} 0.65',
      'instance_cpu_usage{service="users",instance="b:1"} 0.1',
      'instance_memory_usage{service="users",instance="a:1"} 0.72',
      'instance_request_latency_seconds{service="users",instance="a:1"} 0.045',
    ],
  );
  await pass(bench.clock, reportMsMax + 1_000, 1_000);
  assert.equal((await shown(bench)).filter((line) => !line.startsWith("instance_up")).length, 0);
});

test("breakers are shown where a service has some or an operator holds one", async (t) => {
  const bench = open(t);
  const circuits = async (): Promise<string[]> => (await shown(bench)).filter((line) => line.startsWith("circuit_"));
  bench.set(["a:1", "b:1"]);
  assert.deepEqual(await circuits(), []);
  bench.monitor.circuits.order("users", "a:1", "open", "ann");
  assert.deepEqual(await circuits(), ['circuit_state{service="users",instance="a:1"} 2']);
  bench.set(["a:1", "b:1"], { circuitBreaker: {} });
  assert.deepEqual(await circuits(), [
    'circuit_state{service="users",instance=""} 0',
    'circuit_state{service="users",instance="a:1"} 2',
    'circuit_state{service="users",instance="b:1"} 0',
  ]);
});

test("limits on concurrency are shown where there are some", async (t) => {
  const bench = open(t);
  bench.set(["a:1"], { concurrency: 7 });
  assert.deepEqual(
    (await shown(bench)).filter((line) => line.startsWith("concurrency_")),
    ['concurrency_in_flight{service="users"} 0', 'concurrency_limit{service="users"} 7'],
  );
});
