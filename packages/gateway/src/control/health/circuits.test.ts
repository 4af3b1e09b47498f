import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../../tests/kit/clock.ts";
import { pass } from "../../../../../tests/kit/fake-timers.ts";
import type { Breaker } from "../../proxy/upstream/breaker/breaker.ts";
import { instanceLayout, serviceMemory } from "../../proxy/upstream/memory.ts";
import { OutlierState } from "../../proxy/upstream/outlier/outlier-state.ts";
import { forcedMax } from "./forced-circuits.ts";
import { serviceOf } from "./health.fixtures.ts";
import { check, open } from "./monitor.fixtures.ts";
import { instanceBreaker, serviceBreaker } from "./views.ts";

const breaking = { circuitBreaker: { consecutive: 2, open: "5s", minRequests: 1_000, halfOpenRequests: 1 } };
const { circuitBreaker, outlierDetection } = serviceOf({ instances: [], ...breaking });
assert.ok(circuitBreaker !== undefined && outlierDetection !== undefined);

/** What a worker does of a breaker: fails so many requests; answers the last change. */
function fail(breaker: Breaker, nowMs: number, times = 2) {
  assert.ok(circuitBreaker !== undefined);
  let change: ReturnType<Breaker["record"]>;
  for (let n = 0; n < times; n++) {
    change = breaker.record(breaker.acquire(circuitBreaker, nowMs), "failure", 1, circuitBreaker, nowMs) ?? change;
  }
  assert.ok(change !== undefined);
  return change;
}

test("a breaker that a worker opens is told once, with its reason, and shown of its instance until its time is over", async (t) => {
  const { clock, monitor, set, memoryOf, told, stateOf, lines } = open(t);
  set(["a:1", "b:1"], breaking);
  const breaker = instanceBreaker(memoryOf("a:1"), seededRandom(1));
  const { from, to, detail } = fail(breaker, clock.now());
  monitor.happened({ kind: "breaker", service: "users", instance: "a:1", from, to, reason: detail, atMs: clock.now() });
  const shown = monitor.state("users", "a:1");
  assert.deepEqual([shown?.state, shown?.reason], ["open", "2 failures in a row"]);
  const left = Date.parse(shown?.until ?? "") - clock.wall();
  assert.ok(left > 4_000 && left <= 5_000, `${left} ms`);
  await pass(clock, 3_000, 1_000);
  assert.deepEqual(told(), ["a:1 closed -> open"]);
  await pass(clock, 4_000, 1_000);
  assert.equal(stateOf("a:1"), "half-open");
  assert.deepEqual(told(), ["a:1 open -> half-open"]);
  assert.deepEqual(lines, [
    "! the circuit breaker of a:1 of users is open: 2 failures in a row",
    "the circuit breaker of a:1 of users is half-open",
  ]);
});

test("what a worker could not tell is seen by the second look", async (t) => {
  const { clock, set, memoryOf, serviceShared, told, stateOf } = open(t);
  set(["a:1"], breaking);
  fail(instanceBreaker(memoryOf("a:1"), seededRandom(1)), clock.now());
  fail(serviceBreaker(serviceShared(), seededRandom(1)), clock.now());
  await pass(clock, 1_000, 1_000);
  assert.deepEqual([stateOf("a:1"), told()], ["open", []]);
  await pass(clock, 1_000, 1_000);
  assert.deepEqual(told(), ["- closed -> open", "a:1 closed -> open"]);
});

test("of very many services that are well some are looked at each time, and all in turn", async (t) => {
  const { clock, monitor, told } = open(t);
  const names = Array.from({ length: 1_200 }, (_, index) => `s${index}`);
  const resource = serviceOf({ instances: [{ address: "a:1" }], ...breaking });
  const memories = Object.fromEntries(names.map((name) => [name, serviceMemory(resource, 2)]));
  monitor.update({ set: Object.fromEntries(names.map((name) => [name, resource])), delete: [] }, memories);
  for (const name of ["s0", "s1199"]) {
    const shared = memories[name]?.instances["a:1"];
    assert.ok(shared !== undefined);
    fail(instanceBreaker(shared, seededRandom(1)), clock.now());
  }
  await pass(clock, 2_000, 1_000);
  assert.deepEqual([monitor.state("s0", "a:1")?.state, monitor.state("s1199", "a:1")?.state], ["open", "up"]);
  await pass(clock, 2_000, 1_000);
  assert.equal(monitor.state("s1199", "a:1")?.state, "open");
  assert.deepEqual(told(), ["a:1 closed -> open", "a:1 closed -> open"]);
});

test("an instance whose breaker closes begins with a small share", (t) => {
  const { clock, monitor, set, seen, stateOf } = open(t);
  set(["a:1"], { ...breaking, slowStart: "30s" });
  clock.advance(10);
  const [from, to] = ["half-open", "closed"];
  monitor.happened({ kind: "breaker", service: "users", instance: "a:1", from, to, reason: "", atMs: clock.now() });
  assert.deepEqual([seen("a:1").availableSinceMs, stateOf("a:1")], [clock.now(), "starting"]);
});

test("an ejected instance is shown with the reason and the time, on probation, and back with a small share", async (t) => {
  const { clock, monitor, set, seen, memoryOf, told, stateOf } = open(t);
  set(["a:1", "b:1"], { slowStart: "30s" });
  const outlier = new OutlierState(memoryOf("a:1"), instanceLayout.outlier);
  outlier.eject(outlierDetection, clock.now());
  const event = { kind: "ejection", service: "users", instance: "a:1", atMs: clock.now() } as const;
  monitor.happened({ ...event, from: "in", to: "ejected", reason: "5 failures in a row" });
  const shown = monitor.state("users", "a:1");
  assert.deepEqual([shown?.state, shown?.reason], ["ejected", "5 failures in a row"]);
  assert.equal(shown?.until, new Date(clock.wall() + 30_000).toISOString());
  await pass(clock, 30_000, 1_000);
  assert.equal(stateOf("a:1"), "probation");
  assert.ok(outlier.readmit(outlier.acquire(clock.now())));
  monitor.happened({ ...event, from: "probation", to: "in", reason: "the trial succeeded", atMs: clock.now() });
  assert.deepEqual([seen("a:1").availableSinceMs, stateOf("a:1")], [clock.now(), "starting"]);
  assert.deepEqual(told(), ["a:1 up -> ejected", "a:1 ejected -> probation", "a:1 probation -> starting"]);
});

test("of a service that ejects nobody any more nobody is shown as ejected", (t) => {
  const { clock, set, memoryOf, stateOf } = open(t);
  set(["a:1"]);
  new OutlierState(memoryOf("a:1"), instanceLayout.outlier).eject(outlierDetection, clock.now());
  set(["a:1"], { outlierDetection: false });
  assert.equal(stateOf("a:1"), "up");
});

test("checks that pass again lift an ejection; checks that pass on do not", async (t) => {
  const { clock, sick, set, memoryOf, stateOf } = open(t);
  set(["a:1", "b:1"], { healthCheck: check });
  await pass(clock, 2_000, 100);
  for (const address of ["a:1", "b:1"]) {
    new OutlierState(memoryOf(address), instanceLayout.outlier).eject(outlierDetection, clock.now());
  }
  sick.add("a:1");
  await pass(clock, 5_000, 100);
  assert.deepEqual([stateOf("a:1"), stateOf("b:1")], ["unhealthy", "ejected"]);
  sick.clear();
  await pass(clock, 5_000, 100);
  assert.deepEqual([stateOf("a:1"), stateOf("b:1")], ["up", "ejected"]);
});

test("an operator holds the breaker of an instance open, closed, and lets it go; each is told", (t) => {
  const { clock, monitor, set, memoryOf, told, lines } = open(t);
  set(["a:1", "b:1"]);
  const breaker = instanceBreaker(memoryOf("a:1"), seededRandom(1));
  const held = monitor.circuits.order("users", "a:1", "open", "ann");
  assert.deepEqual(
    [held?.state, held?.forced, held?.by, breaker.forced, breaker.refuses(clock.now())],
    ["open", "open", "ann", "open", true],
  );
  const shown = monitor.state("users", "a:1");
  assert.deepEqual([shown?.state, shown?.reason, shown?.until], ["open", "held open by ann", undefined]);
  assert.equal(monitor.circuits.order("users", "a:1", "closed", "bob")?.forced, "closed");
  assert.deepEqual([breaker.forced, monitor.state("users", "a:1")?.state], ["closed", "up"]);
  assert.equal(monitor.circuits.order("users", "a:1", "auto", "bob")?.forced, undefined);
  assert.equal(breaker.forced, undefined);
  assert.deepEqual(told(), ["a:1 closed -> open", "a:1 open -> closed"]);
  assert.deepEqual(
    lines.filter((line) => /^(ann|bob) /.test(line)),
    [
      "ann holds open the circuit breaker of a:1 of users",
      "bob holds closed the circuit breaker of a:1 of users",
      "bob lets go the circuit breaker of a:1 of users",
    ],
  );
});

test("an instance that is held open and comes back is held before a worker sees it", async (t) => {
  const { clock, monitor, set, memoryOf, told } = open(t);
  set(["a:1", "b:1"]);
  monitor.circuits.order("users", "a:1", "open", "ann");
  set(["b:1"]);
  const away = monitor.circuits.list("users")?.find(({ instance }) => instance === "a:1");
  assert.deepEqual(away, { service: "users", instance: "a:1", state: "open", forced: "open", by: "ann" });
  told();
  set(["a:1", "b:1"]);
  assert.equal(instanceBreaker(memoryOf("a:1"), seededRandom(1)).forced, "open");
  assert.equal(monitor.state("users", "a:1")?.reason, "held open by ann");
  await pass(clock, 3_000, 1_000);
  assert.deepEqual(told(), ["a:1 none -> open"]);
  set(["b:1"]);
  assert.ok(monitor.circuits.order("users", "a:1", "auto", "ann") !== undefined);
  set(["a:1", "b:1"]);
  assert.equal(instanceBreaker(memoryOf("a:1"), seededRandom(1)).forced, undefined);
});

test("the breaker of a service is held over its deletion", (t) => {
  const { monitor, set, serviceShared } = open(t);
  set(["a:1"], breaking);
  monitor.circuits.order("users", undefined, "open", "ann");
  assert.equal(serviceBreaker(serviceShared(), seededRandom(1)).forced, "open");
  monitor.update({ set: {}, delete: ["users"] }, {});
  assert.deepEqual(monitor.circuits.list(), [{ service: "users", state: "open", forced: "open", by: "ann" }]);
  assert.equal(monitor.circuits.list("orders"), undefined);
});

test("all services are listed with those of their breakers that are configured or held", (t) => {
  const { monitor, set } = open(t);
  const listed = (): (string | undefined)[] => (monitor.circuits.list() ?? []).map(({ instance = "" }) => instance);
  set(["b:1", "a:1"]);
  assert.deepEqual(listed(), []);
  monitor.circuits.order("users", "a:1", "closed", "ann");
  assert.deepEqual(listed(), ["a:1"]);
  set(["b:1", "a:1"], breaking);
  assert.deepEqual(listed(), ["", "a:1", "b:1"]);
});

test("what is not there cannot be held, and what is held is bounded", (t) => {
  const { monitor, set } = open(t);
  set(Array.from({ length: forcedMax + 1 }, (_, index) => `a${index}:1`));
  assert.equal(monitor.circuits.order("orders", undefined, "open", "ann"), undefined);
  assert.equal(monitor.circuits.order("users", "x:1", "open", "ann"), undefined);
  assert.equal(monitor.circuits.order("users", "x:1", "auto", "ann"), undefined);
  for (let index = 0; index < forcedMax; index++) monitor.circuits.order("users", `a${index}:1`, "open", "ann");
  assert.throws(() => monitor.circuits.order("users", `a${forcedMax}:1`, "open", "ann"), RangeError);
  assert.ok(monitor.circuits.order("users", "a0:1", "closed", "ann") !== undefined, "one that is held changes");
});
