import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { FakeClock, seededRandom } from "../../../../tests/kit/clock.ts";
import { FakeStore } from "../../../../tests/kit/fake-store.ts";
import { fakeTimers, pass, settled } from "../../../../tests/kit/fake-timers.ts";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { silentLog } from "../core/log.ts";
import { normalizePrefix } from "./layout.ts";
import { newNodeId, nodeId, nodeIdPath } from "./node-id.ts";
import { NodeReport, parseNode, type Node, type NodeFacts, type NodeReportOptions } from "./node-report.ts";
import { keyOf } from "./store/keys.ts";

const facts: NodeFacts = {
  version: "1.0.0",
  addresses: ["127.0.0.1:8080"],
  admin: "127.0.0.1:9080",
  revision: 7,
  rejected: [{ kind: "routes", name: "a", key: "/headgate/routes/a", revision: null, message: "wrong" }],
  source: "live",
  startedAt: "2026-01-01T00:00:00.000Z",
};

interface Machine {
  readonly clock: FakeClock;
  readonly store: FakeStore;
  readonly warnings: string[];
  /** Processes that run. */
  readonly running: Set<number>;
  report(pid: number, options?: Partial<NodeReportOptions>): NodeReport;
  /** The nodes in the store, by id. */
  nodes(): Record<string, Node | undefined>;
}

function machine(): Machine {
  const clock = new FakeClock();
  const store = new FakeStore(clock);
  const warnings: string[] = [];
  const running = new Set<number>();
  return {
    ...{ clock, store, warnings, running },
    report(pid, options) {
      running.add(pid);
      return new NodeReport({
        ...{ store, clock, timers: fakeTimers(clock), random: seededRandom(pid) },
        prefix: normalizePrefix("/headgate/"),
        id: "host-00000001",
        log: { ...silentLog, warn: (_, message) => void warnings.push(message) },
        process: { name: "host", pid, isRunning: (other) => running.has(other) },
        ...options,
      });
    },
    nodes: () =>
      Object.fromEntries(
        [...store.contents("/headgate/nodes/").values()].map((kv) => [kv.key.slice(16), parseNode(kv)]),
      ),
  };
}

test("a gateway's key is there from the first facts on, leased, and gone when it ends", async () => {
  const { store, report, nodes } = machine();
  const node = report(1);
  await settled();
  assert.deepEqual(nodes(), {});
  node.update(facts);
  await settled();
  assert.deepEqual(nodes(), { "host-00000001": { id: "host-00000001", ...facts } });
  assert.equal(store.leases.length, 1, "the claim's lease is ended");
  await node.release();
  assert.deepEqual(nodes(), {});
  assert.deepEqual(store.leases, []);
});

test("the key outlives its time while the gateway runs, and not afterwards", async () => {
  const { clock, store, report, nodes } = machine();
  report(1).update(facts);
  await pass(clock, 60_000, 250);
  assert.deepEqual(Object.keys(nodes()), ["host-00000001"]);
  store.cut();
  await pass(clock, 11_000, 250);
  assert.deepEqual(nodes(), {}, "the store let the lease run out");
  store.mend();
  await pass(clock, 3_000, 250);
  assert.deepEqual(Object.keys(nodes()), ["host-00000001"], "back within three seconds");
});

test("facts are written at once, and then at most ten times a second, the last ones always", async () => {
  const { clock, store, report, nodes } = machine();
  const node = report(1);
  node.update(facts);
  await pass(clock, 1_000);
  const before = store.revision;
  node.update({ ...facts, revision: 8 });
  await settled();
  assert.equal(nodes()["host-00000001"]?.revision, 8);
  for (let revision = 9; revision <= 109; revision++) {
    node.update({ ...facts, revision });
    clock.advance(10);
    await settled();
  }
  await pass(clock, 100);
  assert.equal(nodes()["host-00000001"]?.revision, 109);
  const writes = store.revision - before;
  assert.ok(writes >= 10 && writes <= 12, `${writes} writes in 1.1 s`);
});

test("the same facts are not written again", async () => {
  const { clock, store, report } = machine();
  const node = report(1);
  node.update(facts);
  await pass(clock, 1_000);
  const before = store.revision;
  node.update({ ...facts });
  await pass(clock, 1_000);
  assert.equal(store.revision, before);
});

test("a key that somebody deleted is written again", async () => {
  const { clock, store, report, nodes } = machine();
  const node = report(1);
  node.update(facts);
  await pass(clock, 1_000);
  const key = keyOf("/headgate/nodes/host-00000001");
  store.delete(key);
  node.deleted(keyOf("/headgate/nodes/other"));
  await settled();
  assert.deepEqual(nodes(), {});
  node.deleted(key);
  await settled();
  assert.deepEqual(nodes()["host-00000001"], { id: "host-00000001", ...facts });
  await node.release();
  node.deleted(key);
  await pass(clock, 1_000);
  assert.deepEqual(nodes(), {});
});

test("a gateway whose id is in use by another machine takes a new one, keeps it and says so", async (t) => {
  const { clock, report, nodes, warnings } = machine();
  const dataDir = temporary(t);
  report(1).update(facts);
  await pass(clock, 5_000, 250);
  const isRunning = (): boolean => false;
  const second = report(2, { dataDir, process: { name: "copy", pid: 2, isRunning } });
  second.update(facts);
  await pass(clock, 6_000, 250);
  assert.notEqual(second.id, "host-00000001");
  assert.deepEqual(Object.keys(nodes()).sort(), ["host-00000001", second.id].sort());
  assert.deepEqual(warnings, [`Another gateway runs as host-00000001; this one is ${second.id} from now on.`]);
  // Files are written by the clock of the machine.
  await waitFor(() => existsSync(nodeIdPath(dataDir)), { what: "the new id on disk" });
  assert.equal(await nodeId(dataDir, seededRandom(1)), second.id);
});

test("two gateways that start together with one id end with two", async () => {
  const { clock, report, nodes } = machine();
  const both = [report(1), report(2)];
  for (const node of both) node.update(facts);
  await pass(clock, 10_000, 250);
  assert.equal(new Set(both.map((node) => node.id)).size, 2);
  assert.equal(Object.keys(nodes()).length, 2);
});

test("the successor of a killed process of this machine keeps the id, at once", async () => {
  const { clock, store, report, nodes, running, warnings } = machine();
  report(1).update(facts);
  await pass(clock, 1_000);
  // Killed: nothing is kept alive and nothing is ended. What the first one still asks for is refused.
  const killed = kill(store);
  running.delete(1);
  const second = report(2, { store: killed.alive });
  second.update({ ...facts, revision: 9 });
  await settled();
  assert.equal(second.id, "host-00000001");
  assert.equal(nodes()["host-00000001"]?.revision, 9);
  await pass(clock, 30_000, 250);
  assert.equal(nodes()["host-00000001"]?.revision, 9, "the old lease took nothing with it");
  assert.deepEqual(
    warnings.filter((text) => text.includes("Another gateway")),
    [],
  );
});

test("the successor of a process that ended elsewhere keeps the id when its lease has run out", async () => {
  const { clock, store, report, nodes } = machine();
  report(1).update(facts);
  await pass(clock, 1_000);
  const killed = kill(store);
  const second = report(2, { store: killed.alive, process: { name: "pod", pid: 2, isRunning: () => false } });
  second.update({ ...facts, revision: 9 });
  await pass(clock, 12_000, 250);
  assert.equal(second.id, "host-00000001");
  assert.equal(nodes()["host-00000001"]?.revision, 9);
});

test("a key without a lease is nobody's", async () => {
  const { store, report, nodes, clock } = machine();
  store.put("/headgate/nodes/host-00000001", "left by hand");
  const node = report(1);
  node.update(facts);
  await pass(clock, 2_000);
  assert.equal(node.id, "host-00000001");
  assert.equal(nodes()["host-00000001"]?.revision, 7);
});

test("a store that is away at the start is waited for; one that is away at the end is not", async () => {
  const { clock, store, report, nodes } = machine();
  store.cut();
  const node = report(1);
  node.update(facts);
  await pass(clock, 30_000, 250);
  store.mend();
  await pass(clock, 2_100);
  assert.deepEqual(Object.keys(nodes()), ["host-00000001"]);
  store.cut();
  let released = false;
  void node.release().then(() => (released = true));
  await pass(clock, 2_000);
  assert.equal(released, true);
});

test("a release before the key was claimed leaves nothing", async () => {
  const { clock, store, report, nodes } = machine();
  const node = report(1);
  node.update(facts);
  await node.release();
  await pass(clock, 1_000);
  assert.deepEqual(nodes(), {});
  assert.deepEqual(store.leases, []);
  assert.equal(clock.pending, 0);
});

for (const [what, key, value] of [
  ["is no JSON", "n", "{"],
  ["is no object", "n", "7"],
  ["lacks facts", "n", JSON.stringify({ id: "n" })],
  ["is of another node than its key", "m", JSON.stringify({ id: "n", ...facts })],
] as const) {
  test(`a value that ${what} is no node`, () => {
    assert.equal(parseNode({ key: keyOf(`/headgate/nodes/${key}`), value: Buffer.from(value) }), undefined);
  });
}

test("what a later version says besides is left out", () => {
  const value = Buffer.from(JSON.stringify({ id: "n", ...facts, mood: "good" }));
  assert.deepEqual(parseNode({ key: keyOf("/x/nodes/n"), value }), { id: "n", ...facts });
});

test("the id of a data directory is made once, for its owner's eyes", async (t) => {
  const dataDir = join(temporary(t), "data");
  const id = await nodeId(dataDir, seededRandom(3));
  assert.match(id, /^[A-Za-z0-9.-]+-[0-9a-f]{8}$/);
  assert.equal(await nodeId(dataDir, seededRandom(4)), id);
  assert.equal(statSync(join(dataDir, "node-id")).mode & 0o777, 0o600);
  assert.equal(readFileSync(join(dataDir, "node-id"), "utf8"), `${id}\n`);
  writeFileSync(join(dataDir, "node-id"), "\n");
  await assert.rejects(
    nodeId(dataDir, seededRandom(4)),
    /node-id holds no node id; delete it and a new one is made\.$/,
  );
});

for (const [host, id] of [
  ["web-1.example.org", "web-1.example.org-00000000"],
  ["Büro PC", "B-ro-PC-00000000"],
  ["", "gateway-00000000"],
  ["-.x", "x-00000000"],
  ["h".repeat(300), `${"h".repeat(64)}-00000000`],
] as const) {
  test(`on a machine named ${JSON.stringify(host.slice(0, 20))} an id is one that a key can hold`, () => {
    assert.equal(
      newNodeId(() => 0, host),
      id,
    );
  });
}

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "headgate-node-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** From now on the store answers only through `alive`: whoever used it before is dead to it. */
function kill(store: FakeStore): { readonly alive: FakeStore } {
  const alive = Object.create(store) as FakeStore; // the same store under a second name
  for (const name of ["range", "txn", "grant", "keepAlive", "revoke", "lease"] as const) {
    const call = store[name].bind(store) as () => never;
    Object.defineProperty(alive, name, { value: call });
    Object.defineProperty(store, name, { value: () => new Promise(() => undefined) });
  }
  return { alive };
}
