import assert from "node:assert/strict";
import test from "node:test";
import { Client, credentials } from "@grpc/grpc-js";
import type * as m from "../../packages/gateway/src/control/store/etcd/messages.ts";
import { healthService } from "../../packages/gateway/src/control/store/embedded/serve/health.ts";
import { faultProxy } from "../kit/fault-proxy.ts";
import { waitFor } from "../kit/wait.ts";
import { Caller, type Conversation } from "./etcd-caller.ts";
import { startServed } from "./etcd-served.ts";

type WatchTalk = Conversation<m.WatchRequestMessage, m.WatchResponse>;

const everything = { key: Buffer.from("\0"), range_end: Buffer.from("\0") };
const eventsOf = (received: readonly Pick<m.WatchResponse, "events">[]): readonly m.EventMessage[] =>
  received.flatMap((response) => response.events);
const revisionsOf = (received: readonly Pick<m.WatchResponse, "events">[]): number[] =>
  eventsOf(received).map((event) => Number(event.kv?.mod_revision));

async function created(talk: WatchTalk, request: Parameters<WatchTalk["send"]>[0]["create_request"]): Promise<void> {
  const before = talk.received.length;
  talk.send({ create_request: request });
  await talk.until((received) => received.length > before, "the watch to be created");
}

test("a client that does not read costs no memory: what it missed is read from the history when it does", async (t) => {
  const { store, address } = await startServed(t);
  const read: number[] = [];
  const history = store.history.bind(store);
  store.history = (request) => {
    const page = history(request);
    read.push(page.next);
    return page;
  };
  const talk = new Caller(t, address).watch();
  await created(talk, everything);
  talk.pause();
  const value = Buffer.alloc(500_000, "x");
  const writes = 60;
  for (let count = 0; count < writes; count++) {
    await store.txn({ compare: [], then: [{ type: "put", put: { key: `k${count}`, value } }] });
  }
  talk.send({ progress_request: {} });
  const readWhilePaused = Math.max(...read);
  assert.ok(readWhilePaused < 2 + writes / 2, `read to revision ${readWhilePaused} for a client that reads nothing`);
  talk.resume();
  await talk.until((received) => received.at(-1)?.watch_id === "-1", "the answer to the request for progress");
  assert.deepEqual(
    revisionsOf(talk.received),
    Array.from({ length: writes }, (_, index) => index + 2),
  );
  assert.equal(talk.received.at(-1)?.header?.revision, String(writes + 1));
});

test("a watch that is far behind gets whole revisions in answers of bounded size", async (t) => {
  const { store, address } = await startServed(t);
  const value = Buffer.alloc(10_000, "x");
  for (let count = 0; count < 400; count++) {
    const put = (key: string) => ({ type: "put", put: { key, value } }) as const;
    await store.txn({ compare: [], then: [put(`a${count}`), put(`b${count}`), put(`c${count}`)] });
  }
  const talk = new Caller(t, address).watch();
  talk.send({ create_request: { ...everything, start_revision: "2" } });
  await talk.until((received) => eventsOf(received).length === 1_200, "all events");
  let last = 1;
  for (const { header, events } of talk.received.slice(1)) {
    const revisions = events.map((event) => Number(event.kv?.mod_revision));
    assert.equal(revisions[0], last + 1, "an answer begins with a revision of its own");
    assert.ok(events.length * value.length < 1_200_000, `${events.length} events in one answer`);
    last = revisions.at(-1) ?? last;
    // Who resumes from the header (as the npm package etcd3 does) must not miss what was not told yet.
    assert.equal(Number(header?.revision), last);
  }
  assert.equal(last, 401);
});

test("hundreds of watches on one stream are all told everything, and then the progress", async (t) => {
  const { store, address } = await startServed(t);
  const talk = new Caller(t, address).watch();
  const watches = 350;
  for (let count = 0; count < watches; count++) talk.send({ create_request: everything });
  await talk.until((received) => received.length === watches, "the watches");
  const writes = 20;
  const put = (count: number) =>
    store.txn({ compare: [], then: [{ type: "put", put: { key: `k${count}`, value: Buffer.from("x") } }] });
  await Promise.all(Array.from({ length: writes }, (_, count) => put(count)));
  talk.send({ progress_request: {} });
  await talk.until((received) => received.at(-1)?.watch_id === "-1", "progress");
  const told = new Map<string, number[]>();
  for (const { watch_id: id, events } of talk.received) {
    if (events.length > 0) told.set(id, [...(told.get(id) ?? []), ...revisionsOf([{ events }])]);
  }
  const all = Array.from({ length: writes }, (_, index) => index + 2);
  assert.equal(told.size, watches);
  for (const revisions of told.values()) assert.deepEqual(revisions, all);
});

test("one watch more than the limit is refused with the reason, until another one goes", async (t) => {
  const { address } = await startServed(t, { watchesMax: 2 });
  const caller = new Caller(t, address);
  const one = caller.watch();
  await created(one, everything);
  const two = caller.watch();
  await created(two, everything);
  await created(two, everything);
  const refused = two.received[1];
  assert.deepEqual([refused?.watch_id, refused?.created, refused?.canceled], ["-1", true, true]);
  assert.match(refused?.cancel_reason ?? "", /takes 2 watches at a time/);
  one.cancel();
  await waitFor(async () => {
    await created(two, everything);
    return two.received.at(-1)?.canceled === false || undefined;
  });
});

test("a client that is gone without a word loses its connection, and its watches", async (t) => {
  const { address, port } = await startServed(t, { watchesMax: 1, keepaliveMs: 100, keepaliveTimeoutMs: 200 });
  const proxy = await faultProxy(t, port);
  const gone = new Caller(t, proxy.address).watch();
  await created(gone, everything);
  const talk = new Caller(t, address).watch();
  await created(talk, everything);
  assert.equal(talk.received[0]?.canceled, true, "the first client still has its watch");
  proxy.stall();
  await waitFor(async () => {
    await created(talk, everything);
    return talk.received.at(-1)?.canceled === false || undefined;
  });
});

test("periodic progress is told to watches that asked for it and heard nothing", async (t) => {
  const every: (() => void)[] = [];
  const timers = {
    after: () => () => undefined,
    every: (_intervalMs: number, action: () => void) => {
      every.push(action);
      return () => undefined;
    },
  };
  const { store, address } = await startServed(t, { timers });
  const talk = new Caller(t, address).watch();
  await created(talk, { ...everything, progress_notify: true });
  await created(talk, { ...everything });
  const interval = (): void => every.forEach((action) => action());
  interval();
  await talk.until((received) => received.length === 3, "progress");
  assert.deepEqual([talk.received[2]?.watch_id, talk.received[2]?.header?.revision], ["0", "1"]);
  await store.txn({ compare: [], then: [{ type: "put", put: { key: "a", value: Buffer.from("1") } }] });
  await talk.until((received) => received.length === 5, "the event, on both");
  interval();
  interval();
  await talk.until((received) => received.length === 6, "progress after a quiet interval, and only then");
  assert.deepEqual([talk.received[5]?.watch_id, talk.received[5]?.header?.revision], ["0", "2"]);
  talk.send({ progress_request: {} });
  await talk.until((received) => received.length === 7, "the answer to the request for progress");
  assert.equal(talk.received[6]?.watch_id, "-1");
});

test("a request that is too large is refused, and the connection goes on", async (t) => {
  const { address } = await startServed(t);
  const caller = new Caller(t, address);
  const put = (bytes: number) => caller.unary(caller.rpc.KV.Put, { key: Buffer.from("a"), value: Buffer.alloc(bytes) });
  assert.deepEqual(await put(1_600_000), { error: { code: 3, details: "etcdserver: request is too large" } });
  const larger = await put(3_000_000);
  assert.ok("error" in larger && larger.error.code === 8, JSON.stringify(larger));
  assert.ok("response" in (await put(1_000_000)));
});

test("gRPC's health service tells what is served", async (t) => {
  const { address } = await startServed(t);
  const client = new Client(address, credentials.createInsecure());
  t.after(() => client.close());
  const check = healthService([]).definition["Check"];
  assert.ok(check !== undefined);
  const ask = (service: string): Promise<unknown> =>
    new Promise((resolve) => {
      client.makeUnaryRequest(
        check.path,
        check.requestSerialize,
        check.responseDeserialize,
        { service },
        (error, answer) => resolve(error?.details ?? answer),
      );
    });
  assert.deepEqual(await ask(""), { status: "SERVING" });
  assert.deepEqual(await ask("etcdserverpb.KV"), { status: "SERVING" });
  assert.equal(await ask("no.such"), "unknown service");
});
