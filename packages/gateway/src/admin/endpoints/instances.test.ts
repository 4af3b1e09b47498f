import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { validateDocument } from "@headgate/schema";
import { seededRandom } from "../../../../../tests/kit/clock.ts";
import { FakeClock } from "../../../../../tests/kit/clock.ts";
import { FakeStore } from "../../../../../tests/kit/fake-store.ts";
import { fakeTimers, settled } from "../../../../../tests/kit/fake-timers.ts";
import type { StateText } from "../../control/health/instance-state.ts";
import { Reports } from "../../control/health/reports.ts";
import { Instances } from "../../control/registry/instances.ts";
import { Registry } from "../../control/registry/registry.ts";
import { StoreError } from "../../control/store/store.ts";
import { silentLog } from "../../core/log.ts";
import { admin } from "../admin.fixtures.ts";

const { value } = validateDocument({
  gateway: { store: { etcd: { endpoints: ["http://127.0.0.1:2379"] } } },
  services: { users: { instances: [{ address: "10.0.0.9:1", zone: "w" }], discover: { etcd: "people" } } },
});
assert.ok(value);
const { services } = value.resources;

/** What is known of those that services use, by service and address. */
const states: Readonly<Record<string, StateText>> = {
  "users/10.0.0.9:1": {
    ...{ state: "unhealthy", reason: "3 checks failed: GET / answered 500", since: "2026-01-01T00:00:00.000Z" },
  },
};

async function open(t: TestContext) {
  const clock = new FakeClock();
  const store = new FakeStore(clock);
  const registry = new Registry({
    ...{ store, prefix: "/services/", clock, timers: fakeTimers(clock), random: seededRandom(1), log: silentLog },
    onChange: () => undefined,
    onSynced: () => undefined,
  });
  t.after(() => registry.stop());
  registry.start();
  await settled();
  const backing = { store, prefix: "/services/", registry };
  const reports = new Reports({
    ...{ store, clock, timers: fakeTimers(clock), random: seededRandom(1), log: silentLog },
    onReport: () => undefined,
  });
  t.after(() => reports.stop());
  reports.start();
  await settled();
  const instances = new Instances({
    services: () => services,
    backing: () => backing,
    state: (service, address) => states[`${service}/${address}`],
    report: (name, address) => reports.of(name, address)?.value,
  });
  const { trusted } = await admin(t, { instances });
  const put = (path: string, body: unknown) =>
    trusted(`/v1/instances/${path}`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  return { clock, store, trusted, put };
}

test("an instance is announced under a lease, kept alive, shown with its health, and taken away", async (t) => {
  const { clock, store, trusted, put } = await open(t);
  const first = await put("people/10.0.0.5:3001", { ttl: "2500ms", weight: 3, zone: "a", version: "1.2" });
  assert.deepEqual([first.status, first.json()], [201, { ttl: "3s" }]);
  const revision = store.revision;
  assert.equal((await put("people/10.0.0.5:3001", { ttl: "3s", weight: 3, zone: "a", version: "1.2" })).status, 200);
  assert.equal(store.revision, revision, "what did not change was written again");
  const health = { status: "UP", metrics: { cpuUsage: 0.5 } };
  assert.equal((await put("people/10.0.0.5:3001/health", health)).status, 200);
  const known = { address: "10.0.0.5:3001", status: "UP", weight: 3, zone: "a", version: "1.2", leased: true };
  const announced = { ...known, source: "registry", health, state: "up" };
  const facts = { address: "10.0.0.9:1", status: "UP", weight: 1, zone: "w", leased: false, source: "written" };
  const written = { ...facts, ...states["users/10.0.0.9:1"] };
  assert.deepEqual((await trusted("/v1/instances/users")).json(), { instances: [announced, written] });
  assert.deepEqual((await trusted("/v1/instances")).json(), {
    services: { people: [announced], users: [announced, written] },
  });
  clock.advance(2_000);
  assert.equal((await put("people/10.0.0.5:3001", { ttl: "3s", weight: 3, zone: "a", version: "1.2" })).status, 200);
  clock.advance(2_000);
  assert.equal((await trusted("/v1/instances/people")).status, 200, "it is gone although it was kept alive");
  const gone = await trusted("/v1/instances/people/10.0.0.5:3001", { method: "DELETE" });
  assert.deepEqual([gone.status, gone.json()], [200, { service: "people", address: "10.0.0.5:3001" }]);
  assert.equal((await trusted("/v1/instances/people/10.0.0.5:3001", { method: "DELETE" })).status, 404);
  assert.equal((await put("people/10.0.0.5:3001/health", health)).status, 404);
  assert.deepEqual([...store.contents().keys()], []);
  assert.equal((await trusted("/v1/instances/people")).status, 404);
});

test("an announcement that nobody repeats ends with its lease", async (t) => {
  const { clock, store, put } = await open(t);
  assert.equal((await put("people/[::1]:80", {})).json()["ttl"], "10s");
  assert.deepEqual([...store.contents().keys()], ["/services/people/[::1]:80"]);
  clock.advance(10_001);
  assert.equal(store.contents().size, 0);
});

test("another time to live takes a new lease", async (t) => {
  const { clock, store, put } = await open(t);
  await put("people/a:80", { ttl: "2s" });
  assert.deepEqual((await put("people/a:80", { ttl: "1h" })).json(), { ttl: "1h" });
  clock.advance(60_000);
  assert.equal(store.contents("/services/").size, 1);
});

for (const [path, body, message] of [
  ["people/a:80", { ttl: "soon" }, /ttl is "soon": send a duration such as "10s"/],
  ["people/a:80", { ttl: "1s" }, /ttl is "1s": send 2s to 1h/],
  ["people/a:80", { ttl: "61m" }, /send 2s to 1h/],
  ["people/a:80", { weight: -1 }, /^weight: /],
  ["people/a:80", { wieght: 1 }, /wieght/],
  ["people/a:80", { status: "AWAY" }, /^status: /],
  ["people/a", {}, /"a" is no address: send host:port/],
  ["people/a:0", {}, /no address/],
  ["-/a:80", {}, /"-" is no name of a service: send/],
  ["people/a:80/health", [], /body/i],
] as const) {
  test(`PUT of ${path} ${JSON.stringify(body)} is refused with a way out`, async (t) => {
    const { put, store } = await open(t);
    const answer = await put(path, body);
    assert.equal(answer.status, 422, answer.text);
    assert.match(String(answer.json()["detail"]), message);
    assert.equal(store.contents().size, 0);
  });
}

test("of instances that no service uses the state is what the registry says", async (t) => {
  const { put, trusted } = await open(t);
  await put("people/a:80", { status: "DRAINING" });
  const { instances } = (await trusted("/v1/instances/people")).json() as { instances: object[] }; // compared below
  assert.deepEqual(instances, [
    {
      ...{ address: "a:80", status: "DRAINING", weight: 1, leased: true, source: "registry" },
      ...{ state: "draining", reason: "it announced that it ends" },
    },
  ]);
});

test("while the store is away announcing answers 503, and what is known is shown", async (t) => {
  const { put, store, trusted } = await open(t);
  await put("people/a:80", {});
  store.failing = new StoreError("unreachable", "connection refused");
  assert.equal((await put("people/a:80", {})).status, 503);
  const { instances } = (await trusted("/v1/instances/people")).json() as { instances: { address: string }[] }; // checked
  assert.deepEqual(
    instances.map(({ address }) => address),
    ["a:80"],
  );
});

test("without a store nothing can be announced, and what is written is shown", async (t) => {
  const { trusted } = await admin(t);
  const headers = { "content-type": "application/json" };
  const put = await trusted("/v1/instances/s/a:80", { method: "PUT", headers, body: "{}" });
  assert.equal(put.status, 409);
  assert.match(String(put.json()["detail"]), /list them in \/etc\/headgate\.yaml, or start it with --store/);
  assert.equal((await trusted("/v1/instances/s/a:80", { method: "DELETE" })).status, 409);
  assert.deepEqual((await trusted("/v1/instances")).json(), {
    services: {
      s: [{ address: "127.0.0.1:3000", status: "UP", weight: 1, leased: false, source: "written", state: "up" }],
    },
  });
  assert.equal((await trusted("/v1/instances/t")).status, 404);
});
