import assert from "node:assert/strict";
import { test } from "node:test";
import { status as codes } from "@grpc/grpc-js";
import { FakeClock } from "../../../../../../tests/kit/clock.ts";
import { startFakeEtcd } from "../../../../../../tests/kit/fake-etcd.ts";
import { deadPort } from "../../../../../../tests/kit/ports.ts";
import { waitFor } from "../../../../../../tests/kit/wait.ts";
import { keyOf } from "../keys.ts";
import { assertRefused, put, Recorder } from "../store.fixtures.ts";
import type { Store } from "../store.ts";
import { openStore } from "./etcd.fixtures.ts";

const read = (store: Store): Promise<unknown> => store.range({ key: keyOf("a") });
const user = { name: "gateway", password: "right" };

test("reads and writes that found no connection are made at the next endpoint, and stay there", async (t) => {
  const etcd = await startFakeEtcd(t);
  const store = openStore(t, [`http://127.0.0.1:${await deadPort()}`, etcd.endpoint]);
  await put(store, "a", "1");
  await read(store);
  assert.deepEqual(
    etcd.calls.map((call) => call.name),
    ["Txn", "Range"],
  );
});

test("what etcd turned away at its door is made elsewhere, a write that may have been carried out is not", async (t) => {
  const cases = [
    { code: codes.UNAVAILABLE, details: "etcdserver: no leader", writeMoves: true },
    { code: codes.RESOURCE_EXHAUSTED, details: "etcdserver: too many requests", writeMoves: true },
    { code: codes.UNAVAILABLE, details: "etcdserver: request timed out", writeMoves: false },
    { code: codes.UNAVAILABLE, details: "etcdserver: leader changed", writeMoves: false },
    { code: codes.UNAVAILABLE, details: "transport is closing", writeMoves: false },
    { code: codes.UNKNOWN, details: "what", writeMoves: false },
  ];
  for (const { writeMoves, ...refusal } of cases) {
    const [first, second] = [await startFakeEtcd(t), await startFakeEtcd(t)];
    const reader = openStore(t, [first.endpoint, second.endpoint]);
    const writer = openStore(t, [first.endpoint, second.endpoint]);
    first.refusals.set("Txn", refusal).set("Range", refusal);
    await read(reader);
    if (writeMoves) await put(writer, "a", "1");
    else await assertRefused(put(writer, "a", "1"), "unreachable");
    const writes = second.calls.filter((call) => call.name === "Txn").length;
    assert.equal(writes, writeMoves ? 1 : 0, refusal.details);
  }
});

test("a refusal is told at once and asked nowhere else", async (t) => {
  const [first, second] = [await startFakeEtcd(t), await startFakeEtcd(t)];
  const store = openStore(t, [first.endpoint, second.endpoint]);
  first.refusals.set("Range", { code: codes.OUT_OF_RANGE, details: "etcdserver: mvcc: required revision has been compacted" }); // prettier-ignore
  await assertRefused(read(store), "compacted");
  assert.equal(second.calls.length, 0);
});

test("a call that gets no answer ends in time; a read tries the next endpoint", async (t) => {
  const [silent, good] = [await startFakeEtcd(t), await startFakeEtcd(t)];
  silent.answers = false;
  const alone = openStore(t, [silent.endpoint], { callTimeoutMs: 100 });
  await assert.rejects(read(alone), /no answer within 0\.1 s/);
  assert.equal(silent.calls.length, 1, "one that waited long enough is not asked again");
  const both = openStore(t, [silent.endpoint, good.endpoint], { callTimeoutMs: 100 });
  await read(both);
  const writer = openStore(t, [silent.endpoint, good.endpoint], { callTimeoutMs: 100 });
  await assertRefused(put(writer, "a", "1"), "unreachable");
});

test("calls are made with a token, one for all of them, and with a new one when it is not accepted any more", async (t) => {
  const etcd = await startFakeEtcd(t);
  etcd.token = "one";
  const store = openStore(t, [etcd.endpoint], { user });
  await Promise.all([read(store), read(store), put(store, "a", "1")]);
  const names = (): string[] => etcd.calls.splice(0).map(({ name, token }) => `${name} ${token ?? "-"}`);
  assert.deepEqual(names().toSorted(), ["Authenticate -", "Range one", "Range one", "Txn one"]);
  etcd.token = "two";
  await Promise.all([put(store, "a", "1"), read(store)]);
  const made = names();
  assert.equal(made.filter((name) => name === "Authenticate -").length, 1, made.join());
  assert.deepEqual(made.slice(-2).toSorted(), ["Range two", "Txn two"]);
});

test("users that etcd does not know yet are no hindrance, nor is their coming", async (t) => {
  const etcd = await startFakeEtcd(t);
  etcd.refusals.set("Authenticate", {
    code: codes.FAILED_PRECONDITION,
    details: "etcdserver: authentication is not enabled",
  });
  const store = openStore(t, [etcd.endpoint], { user });
  await read(store);
  etcd.refusals.clear();
  etcd.token = "one";
  await read(store);
  assert.equal(etcd.calls.at(-1)?.token, "one");
});

test("a wrong password is told as such, and not tried again for five seconds", async (t) => {
  const etcd = await startFakeEtcd(t);
  const clock = new FakeClock();
  etcd.token = "one";
  const refusal = { code: codes.INVALID_ARGUMENT, details: "etcdserver: authentication failed, invalid user ID or password" }; // prettier-ignore
  etcd.refusals.set("Authenticate", refusal);
  const store = openStore(t, [etcd.endpoint], { user, clock });
  await assertRefused(read(store), "unauthorized");
  await assert.rejects(put(store, "a", "1"), /refuses the user name or the password: correct them/);
  assert.equal(etcd.calls.length, 1);
  etcd.refusals.clear();
  clock.advance(5_000);
  await read(store);
});

test("no user for an etcd that asks for one is told as such", async (t) => {
  const etcd = await startFakeEtcd(t);
  etcd.token = "one";
  await assert.rejects(read(openStore(t, [etcd.endpoint])), /put a user name and a password in the store's address/);
});

test("a watch that is refused gets a new token at once, and says why when that does not help", async (t) => {
  const etcd = await startFakeEtcd(t);
  etcd.token = "one";
  etcd.revision = 10;
  const store = openStore(t, [etcd.endpoint], { user });
  const recorder = new Recorder();
  const watch = store.watch({ key: "a", from: 11, clusterId: etcd.clusterId }, recorder);
  t.after(() => watch.close());
  const first = await etcd.watch(0);
  assert.equal(first.token, "one");
  etcd.token = "two";
  // As 3.4 says that a token is not known.
  const denied = { created: true, canceled: true, watch_id: "-1", cancel_reason: "etcdserver: permission denied" };
  first.send(denied);
  const second = await etcd.watch(1);
  assert.equal(second.token, "two");
  second.send(denied);
  await recorder.until(() => recorder.connections.length > 0, "the reason");
  assert.match(recorder.connections[0]?.reason ?? "", /does not allow this watch.*permission denied/);
  assert.deepEqual(recorder.lost, []);
});

test("calls under way end when the store is closed", async (t) => {
  const etcd = await startFakeEtcd(t);
  etcd.answers = false;
  const store = openStore(t, [etcd.endpoint]);
  const calls = [assertRefused(read(store), "unreachable"), assertRefused(store.keepAlive("1"), "invalid")];
  await waitFor(() => etcd.calls.length > 0);
  await calls[1];
  await store.close();
  await calls[0];
});
