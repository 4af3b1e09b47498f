import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../../../../../tests/kit/wait.ts";
import { keyOf, prefixRange } from "./keys.ts";
import {
  assertRefused,
  contents,
  get,
  newestRevision,
  ownPrefix,
  put,
  putOf,
  record,
  write,
  type OpenStore,
} from "./store.fixtures.ts";

/** Keys that live as long as their lease. Part of `storeSuite`. */
export function leasesSuite(name: string, open: OpenStore, skip: string | false): void {
  grants(name, open, skip);
  ends(name, open, skip);
}

function grants(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a lease knows its time and its keys`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const lease = await store.grant(600);
    assert.match(lease.id, /^[1-9]\d*$/);
    assert.equal(lease.ttlSeconds, 600);
    await write(store, putOf(`${prefix}b`, "1", { lease: lease.id }), putOf(`${prefix}a`, "1", { lease: lease.id }));
    assert.equal((await get(store, `${prefix}a`))?.lease, lease.id);
    const state = await store.lease(lease.id);
    assert.equal(state.grantedSeconds, 600);
    assert.ok(state.ttlSeconds > 590 && state.ttlSeconds <= 600, `${state.ttlSeconds} seconds left`);
    assert.deepEqual(state.keys.toSorted(), [keyOf(`${prefix}a`), keyOf(`${prefix}b`)]);
    assert.equal(await store.keepAlive(lease.id), 600);
  });

  test(`${name}: a lease may be given its id, once`, { skip }, async (t) => {
    const { store } = await open(t);
    const id = String(9_007_199_254_740_993n + BigInt(Math.floor(Math.random() * 1e15))); // beyond 2^53
    assert.equal((await store.grant(600, id)).id, id);
    await assertRefused(store.grant(600, id), "lease-exists");
    await store.revoke(id);
    assert.equal((await store.grant(600, id)).id, id);
    await store.revoke(id);
  });

  test(`${name}: a lease that is not there keeps nothing alive and takes no key`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const revision = await put(store, `${prefix}a`, "1");
    assert.equal(await store.keepAlive("4711"), 0);
    assert.equal((await store.lease("4711")).ttlSeconds, -1);
    await assertRefused(store.revoke("4711"), "lease-not-found");
    await assertRefused(write(store, putOf(`${prefix}b`, "1", { lease: "4711" })), "lease-not-found");
    await assertRefused(
      write(store, putOf(`${prefix}c`, "1"), putOf(`${prefix}b`, "1", { lease: "4711" })),
      "lease-not-found",
    );
    assert.equal(await newestRevision(store), revision);
    await assertRefused(store.grant(10_000_000_000), "invalid");
  });

  test(`${name}: a put moves its key to the lease it names, or to none`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const first = await store.grant(600);
    const second = await store.grant(600);
    for (const key of ["kept", "moved", "freed"]) await put(store, prefix + key, "1", { lease: first.id });
    await put(store, `${prefix}kept`, "2", { ignoreLease: true });
    await put(store, `${prefix}moved`, "2", { lease: second.id });
    await put(store, `${prefix}freed`, "2");
    assert.deepEqual((await store.lease(first.id)).keys, [keyOf(`${prefix}kept`)]);
    assert.deepEqual((await store.lease(second.id)).keys, [keyOf(`${prefix}moved`)]);
    await store.revoke(first.id);
    assert.deepEqual(await contents(store, prefix), ["freed=2", "moved=2"]);
    await store.revoke(second.id);
    assert.deepEqual(await contents(store, prefix), ["freed=2"]);
  });
}

function ends(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: revoking a lease deletes its keys in one revision`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const lease = await store.grant(600);
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    for (const key of ["a", "b", "c"]) await put(store, prefix + key, "1", { lease: lease.id });
    const revision = await put(store, `${prefix}stays`, "1");
    await store.revoke(lease.id);
    await recorder.seen(revision + 1);
    const last = recorder.revisions.at(-1);
    assert.equal(last?.revision, revision + 1);
    assert.deepEqual(recorder.texts(prefix).slice(-3).toSorted(), ["delete a", "delete b", "delete c"]);
    assert.equal(last?.events.length, 3);
    assert.equal(await newestRevision(store), revision + 1);
    assert.equal(await store.keepAlive(lease.id), 0);
    const empty = await store.grant(600);
    await store.revoke(empty.id);
    assert.equal(await newestRevision(store), revision + 1, "a lease without keys leaves no revision");
  });

  test(`${name}: a lease that is not kept alive ends with its keys, one that is kept stays`, { skip }, async (t) => {
    const { store, advance } = await open(t);
    const prefix = ownPrefix();
    const [kept, left] = [await store.grant(1), await store.grant(1)];
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    await put(store, `${prefix}kept`, "1", { lease: kept.id });
    for (const key of ["a", "b"]) await put(store, prefix + key, "1", { lease: left.id });
    await waitFor(
      async () => {
        advance?.(200);
        assert.equal(await store.keepAlive(kept.id), kept.ttlSeconds);
        return recorder.revisions.some(({ events }) => events.some((event) => event.type === "delete"));
      },
      { what: "the lease to end", deadlineMs: 20_000 },
    );
    assert.equal(recorder.revisions.at(-1)?.events.length, 2);
    assert.deepEqual(recorder.texts(prefix).slice(-2).toSorted(), ["delete a", "delete b"]);
    assert.deepEqual(await contents(store, prefix), ["kept=1"]);
    assert.equal((await store.lease(left.id)).ttlSeconds, -1);
    assert.equal(await store.keepAlive(left.id), 0);
    await store.revoke(kept.id);
  });
}
