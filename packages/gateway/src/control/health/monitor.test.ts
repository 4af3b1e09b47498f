import assert from "node:assert/strict";
import { test } from "node:test";
import { pass, settled } from "../../../../../tests/kit/fake-timers.ts";
import type { FoundInstance } from "../registry/source.ts";
import { check, open } from "./monitor.fixtures.ts";
import { reportMsMax } from "./report.ts";

test("an instance whose checks fail is left out by the workers, with the reason, until they pass again", async (t) => {
  const { clock, sick, monitor, set, seen, told, lines } = open(t);
  set(["a:1", "b:1"], { healthCheck: check });
  await pass(clock, 3_000, 100);
  assert.deepEqual([seen("a:1").available, monitor.state("users", "a:1")?.state], [true, "up"]);
  sick.add("a:1");
  await pass(clock, 5_000, 100);
  assert.deepEqual([seen("a:1").available, seen("b:1").available], [false, true]);
  const shown = monitor.state("users", "a:1");
  assert.equal(shown?.state, "unhealthy");
  assert.match(shown.reason ?? "", /^\d checks failed: GET \/healthz answered 500$/);
  sick.clear();
  await pass(clock, 5_000, 100);
  assert.equal(seen("a:1").available, true);
  assert.ok(seen("a:1").availableSinceMs > 5_000);
  assert.deepEqual(told(), ["a:1 up -> unhealthy", "a:1 unhealthy -> up"]);
  assert.deepEqual(lines, [
    "! instance a:1 of users is unhealthy: 3 checks failed: GET /healthz answered 500",
    "instance a:1 of users is up",
  ]);
});

test("a change of the service keeps what is known of those that stay; without checks all are used again", async (t) => {
  const { clock, sick, set, seen, stateOf } = open(t);
  sick.add("a:1");
  set(["a:1", "b:1"], { healthCheck: check });
  await pass(clock, 1_000, 100);
  assert.equal(seen("a:1").available, false);
  set(["a:1", "c:1"], { healthCheck: { ...check, interval: "2s" }, balance: "round-robin" });
  assert.deepEqual([seen("a:1").available, stateOf("a:1"), stateOf("b:1")], [false, "unhealthy", undefined]);
  set(["a:1", "c:1"]);
  assert.deepEqual([seen("a:1").available, stateOf("a:1")], [true, "up"]);
});

test("one that leaves and comes back has no past", async (t) => {
  const { clock, sick, set, seen, stateOf } = open(t);
  sick.add("a:1");
  set(["a:1", "b:1"], { healthCheck: check });
  await pass(clock, 1_000, 100);
  set(["b:1"], { healthCheck: check });
  sick.clear();
  set(["a:1", "b:1"], { healthCheck: check });
  assert.deepEqual([seen("a:1").available, stateOf("a:1")], [true, "up"]);
});

test("an instance that reports another status than UP is left out at once, until it reports UP or nothing", (t) => {
  const { set, seen, report, stateOf, told } = open(t);
  set(["a:1", "b:1"]);
  for (const back of [{ status: "UP" }, undefined]) {
    report("a:1", { status: "OUT_OF_SERVICE" });
    assert.deepEqual([seen("a:1").available, stateOf("a:1")], [false, "reported-down"]);
    report("a:1", back);
    assert.deepEqual([seen("a:1").available, stateOf("a:1")], [true, "up"]);
  }
  assert.equal(told().length, 4);
});

test("a report that is there before the instance counts too", (t) => {
  const { set, seen, report } = open(t);
  report("a:1", { status: "DOWN" });
  set(["a:1"]);
  assert.equal(seen("a:1").available, false);
});

test("reported load biases instances against each other, and for nothing once it is old", async (t) => {
  const { clock, set, seen, report, told, stateOf } = open(t);
  set(["a:1", "b:1", "c:1"]);
  report("a:1", { metrics: { cpuUsage: 1, requestLatencyMs: 10 } });
  report("b:1", { metrics: { requestLatencyMs: 60 } });
  await pass(clock, 1_000, 1_000);
  assert.deepEqual(
    ["a:1", "b:1", "c:1"].map((address) => seen(address).bias),
    [4, 3, 1],
  );
  report("c:1", { status: "DOWN", metrics: {} });
  await pass(clock, reportMsMax + 1_000, 1_000);
  assert.deepEqual(
    ["a:1", "b:1", "c:1"].map((address) => seen(address).bias),
    [1, 1, 1],
  );
  assert.deepEqual([seen("c:1").available, stateOf("c:1")], [true, "up"]);
  assert.deepEqual(told(), ["c:1 up -> reported-down", "c:1 reported-down -> up"]);
});

const known = (address: string, more: Partial<FoundInstance> = {}): FoundInstance => ({
  ...{ address, status: "UP", weight: 1 },
  ...more,
});
const discovered = { discover: { etcd: "users" } };

test("what an instance announces is shown and told also when the workers no longer have it", (t) => {
  const { registered, monitor, set, told, stateOf } = open(t);
  registered.push(known("a:1"), known("b:1"));
  const renew = (): void => monitor.renewed(new Set(["users"]));
  set(["a:1", "b:1"], discovered);
  registered[0] = known("a:1", { status: "DRAINING" });
  set(["b:1"], discovered);
  renew();
  assert.equal(stateOf("a:1"), "draining");
  registered[0] = known("a:1", { status: "DOWN" });
  renew();
  assert.equal(stateOf("a:1"), "down");
  registered.shift();
  renew();
  assert.equal(stateOf("a:1"), undefined);
  assert.deepEqual(told(), ["a:1 up -> draining", "a:1 draining -> down", "a:1 down -> gone"]);
});

test("one that announces itself is told when the workers have it, not before", (t) => {
  const { registered, monitor, set, told } = open(t);
  set(["w:1"], discovered);
  registered.push(known("a:1"));
  monitor.renewed(new Set(["users"]));
  assert.deepEqual(told(), []);
  set(["w:1", "a:1"], discovered);
  assert.deepEqual(told(), ["a:1 none -> up"]);
});

test("an instance that is held and fails one check is given up", async (t) => {
  const { clock, sick, registered, released, monitor, set, stateOf } = open(t);
  registered.push(known("a:1"), known("b:1"));
  set(["a:1", "b:1"], { ...discovered, healthCheck: check });
  await pass(clock, 2_000, 100);
  registered.splice(0, 2, known("a:1", { heldSinceMs: clock.now() }), known("b:1", { heldSinceMs: clock.now() }));
  monitor.renewed(new Set(["users"]));
  assert.equal(stateOf("a:1"), "held");
  sick.add("a:1");
  await pass(clock, 1_200, 100);
  assert.deepEqual(released, ['{"etcd":"users"} a:1']);
  assert.equal(stateOf("b:1"), "held");
});

test("instances that come with their service begin alike, later ones with a growing share that is shown", async (t) => {
  const { clock, set, seen, stateOf, monitor, told } = open(t);
  const slow = { slowStart: "30s" };
  set(["a:1"], slow);
  assert.deepEqual([seen("a:1").availableSinceMs, stateOf("a:1")], [0, "up"]);
  clock.advance(500);
  const atMs = clock.now();
  set(["a:1", "b:1"], slow);
  assert.deepEqual([seen("a:1").availableSinceMs, seen("b:1").availableSinceMs], [0, atMs]);
  const shown = monitor.state("users", "b:1");
  assert.deepEqual([shown?.state, shown?.until], ["starting", new Date(clock.wall() + 30_000).toISOString()]);
  await pass(clock, 31_000, 1_000);
  assert.equal(stateOf("b:1"), "up");
  assert.deepEqual(told(), ["b:1 none -> starting", "b:1 starting -> up"]);
});

test("the first instances of a service that had none begin alike with those that follow", (t) => {
  const { clock, set, seen } = open(t);
  set([], discovered);
  clock.advance(500);
  set(["a:1"], discovered);
  clock.advance(100);
  set(["a:1", "b:1"], discovered);
  assert.equal(seen("b:1").availableSinceMs - seen("a:1").availableSinceMs, 100);
});

test("before requests are served nobody is new", (t) => {
  const { set, seen } = open(t, { isServing: false });
  set(["w:1"], discovered);
  set(["w:1", "a:1"], discovered);
  assert.equal(seen("a:1").availableSinceMs, 0);
});

test("who reads of a new service is not told of each of its instances; of one that goes with it neither", (t) => {
  const { set, monitor, told, stateOf } = open(t);
  set(["a:1", "b:1"]);
  monitor.update({ set: {}, delete: ["users"] }, {});
  assert.deepEqual(told(), []);
  assert.equal(stateOf("a:1"), undefined);
});

test("since says when the state began, not when its reason last changed", async (t) => {
  const { clock, sick, set, monitor } = open(t);
  set(["a:1"], { healthCheck: check });
  const up = monitor.state("users", "a:1")?.since;
  assert.equal(up, new Date(clock.wall()).toISOString());
  sick.add("a:1");
  await pass(clock, 2_000, 100);
  const first = monitor.state("users", "a:1");
  await pass(clock, 5_000, 100);
  const later = monitor.state("users", "a:1");
  assert.equal(later?.since, first?.since);
  assert.notEqual(later?.reason, first?.reason);
});

test("of very many changes at once twenty are logged and the rest is counted; each is an event", async (t) => {
  const { clock, set, lines, told } = open(t);
  const addresses = Array.from({ length: 100 }, (_, index) => `a${index}:1`);
  set(["w:1"]);
  set(["w:1", ...addresses]);
  assert.equal(told().length, 100);
  assert.equal(lines.length, 20);
  await pass(clock, 11_000, 1_000);
  assert.deepEqual(lines.slice(20), ["80 more changes of instances: see headgate instances"]);
});

test("nothing is looked at after the end", async (t) => {
  const { clock, set, monitor } = open(t);
  set(["a:1"], { healthCheck: check });
  monitor.stop();
  await settled();
  assert.equal(clock.pending, 0);
});
