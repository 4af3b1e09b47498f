import assert from "node:assert/strict";
import { waitFor } from "../../../../../tests/kit/wait.ts";
import {
  checkOf,
  failure,
  hourMs,
  idsOf,
  listed,
  newMessage,
  plenty,
  take,
  takeOne,
  type OpenQueue,
  type SuiteOptions,
} from "./queue.fixtures.ts";

/** What every queue must do with limits, keys and lists. */
export function queueListsSuite(name: string, open: OpenQueue, options: SuiteOptions = {}): void {
  const check = checkOf(name, open, options);

  for (const [what, limits] of [
    ["messages", { ...plenty, messages: 3 }],
    ["bytes", { ...plenty, bytes: 350 }],
  ] as const) {
    check(
      `no more than so many ${what} wait; the dead do not count`,
      async (queue) => {
        for (let count = 0; count < 3; count++) await queue.enqueue(newMessage());
        await assert.rejects(queue.enqueue(newMessage()), { code: "full" });
        await queue.ack(await takeOne(queue));
        await queue.enqueue(newMessage());
        await queue.bury(await takeOne(queue), "refused", failure("404"));
        await queue.enqueue(newMessage());
        await assert.rejects(queue.enqueue(newMessage()), { code: "full" });
        await assert.rejects(queue.replay({ state: "dead" }, 10), { code: "full" });
        assert.equal(await queue.purge({ state: "waiting" }, 1), 1);
        assert.equal(await queue.replay({ state: "dead" }, 10), 1);
      },
      limits,
    );
  }

  check(
    "the oldest dead letters go for newer ones",
    async (queue) => {
      const messages = Array.from({ length: 5 }, () => newMessage());
      for (const message of messages) {
        await queue.enqueue(message);
        await queue.bury(await takeOne(queue), "refused", failure("404"));
      }
      assert.deepEqual(
        (await listed(queue)).toSorted(),
        messages.slice(3).map(({ id }) => id),
      );
      const { dead, deadBytes, dropped } = await queue.stats();
      assert.deepEqual([dead, deadBytes, dropped], [2, 200, 3]);
    },
    { ...plenty, deadLetters: 2 },
  );

  check(
    "the same key with the same request is queued once, while it waits and after it was delivered",
    async (queue) => {
      const once = { scope: "scope", request: "request" };
      const first = newMessage({ once });
      assert.equal((await queue.enqueue(first)).kind, "queued");
      const known = { kind: "known", id: first.id };
      assert.deepEqual(await queue.enqueue(newMessage({ once })), known);
      await assert.rejects(queue.enqueue(newMessage({ once: { ...once, request: "other" } })), { code: "conflict" });
      assert.equal((await queue.enqueue(newMessage({ once: { ...once, scope: "other" } }))).kind, "queued");
      for (const { lease } of await take(queue)) await queue.ack(lease);
      await queue.expire(10);
      assert.deepEqual(await queue.enqueue(newMessage({ once })), known);
      await assert.rejects(queue.enqueue(newMessage({ once: { ...once, request: "other" } })), { code: "conflict" });
      assert.deepEqual(await take(queue), []);
    },
  );

  check("the key of one that died or was purged is free; replayed it is taken again", async (queue) => {
    const once = { scope: "scope", request: "request" };
    const first = newMessage({ once });
    await queue.enqueue(first);
    await queue.bury(await takeOne(queue), "refused", failure("404"));
    await queue.replay({ id: first.id }, 1);
    assert.deepEqual(await queue.enqueue(newMessage({ once })), { kind: "known", id: first.id });
    await queue.purge({ id: first.id }, 1);
    const second = newMessage({ once });
    assert.deepEqual(await queue.enqueue(second), { kind: "queued", id: second.id });
    await queue.bury(await takeOne(queue), "refused", failure("404"));
    const third = newMessage({ once });
    assert.equal((await queue.enqueue(third)).kind, "queued");
    // Two of one key: the instance can tell. The key stays the newer one's.
    assert.equal(await queue.replay({ id: second.id }, 1), 1);
    assert.deepEqual(await queue.enqueue(newMessage({ once })), { kind: "known", id: third.id });
  });

  check(
    "keys of delivered ones are remembered as many as messages may wait, the newest",
    async (queue) => {
      const onces = Array.from({ length: 6 }, (_, at) => ({ scope: `scope ${at}`, request: "r" }));
      for (const once of onces) {
        await queue.enqueue(newMessage({ once }));
        await queue.ack(await takeOne(queue));
        // So that there is a newest one.
        const now = Date.now();
        await waitFor(() => Date.now() > now + 1);
      }
      await queue.expire(10);
      const kinds: string[] = [];
      for (const once of onces.toReversed()) kinds.push((await queue.enqueue(newMessage({ once }))).kind);
      assert.deepEqual(kinds, ["known", "known", "known", "queued", "queued", "queued"]);
    },
    { ...plenty, messages: 3 },
  );

  check("a list is the newest first, in pages, of what was asked for", async (queue) => {
    const messages = Array.from({ length: 7 }, (_, at) =>
      newMessage({ route: at % 2 === 0 ? "even" : "odd", service: at < 3 ? "low" : "high" }),
    );
    for (const message of messages) await queue.enqueue(message);
    const ids = messages.map(({ id }) => id).toReversed();
    assert.deepEqual(await listed(queue), ids);
    const pages: string[][] = [];
    for (let cursor: string | undefined; ;) {
      const page = await queue.list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      pages.push(page.messages.map(({ id }) => id));
      if (page.cursor === undefined) break;
      cursor = page.cursor;
    }
    assert.deepEqual(pages.flat(), ids);
    assert.ok(pages.every((page) => page.length <= 3));
    const [, b, , d, , , g] = messages.map(({ id }) => id);
    assert.deepEqual(await listed(queue, { limit: 9, route: "odd", service: "low" }), [b]);
    assert.deepEqual(await listed(queue, { limit: 1, route: "even" }), [g]);
    await take(queue, 1, hourMs, "low");
    const [taken] = await take(queue, 1, hourMs, "high");
    assert.ok(taken !== undefined);
    assert.equal(taken.lease.id, d);
    await queue.bury(taken.lease, "refused", failure("404"));
    assert.equal((await listed(queue, { limit: 9, state: "delivering" })).length, 1);
    assert.deepEqual(await listed(queue, { limit: 9, state: "dead" }), [d]);
    assert.equal((await listed(queue, { limit: 9, state: "waiting" })).length, 5);
    const { waiting, delivering, dead } = await queue.stats();
    assert.deepEqual([waiting, delivering, dead], [5, 1, 1]);
  });

  check("dead ones are replayed as if they were new, waiting ones are hurried", async (queue) => {
    const [dead, alsoDead, later] = [newMessage({ deadlineMs: 50_000 }), newMessage({ route: "other" }), newMessage()];
    for (const message of [dead, alsoDead]) await queue.enqueue(message);
    for (const { lease } of await take(queue)) await queue.bury(lease, "refused", failure("404"));
    await queue.enqueue(later);
    await queue.nack(await takeOne(queue), hourMs, failure("503"));
    const before = (await queue.get(dead.id))?.firstAtMs ?? 0;
    assert.equal(await queue.replay({ state: "dead", route: "r" }, 10), 1);
    assert.equal(await queue.replay({ state: "waiting" }, 10), 1);
    assert.equal(await queue.replay({ state: "waiting" }, 10), 0);
    assert.deepEqual(idsOf(await take(queue)).toSorted(), [dead.id, later.id]);
    const shown = await queue.get(dead.id);
    assert.deepEqual([shown?.attempts, shown?.cause, shown?.firstAtMs], [0, undefined, before]);
    assert.deepEqual(shown?.errors, [failure("404")]);
    assert.ok((shown?.deadlineAtMs ?? 0) >= before + 50_000);
    assert.equal(await queue.replay({ id: dead.id }, 1), 0);
    assert.equal(await queue.replay({ id: "nothing" }, 1), 0);
    assert.equal((await queue.get(alsoDead.id))?.state, "dead");
  });

  check("what is purged is gone, also while it is delivered; at most so many at a time", async (queue) => {
    const messages = Array.from({ length: 4 }, () => newMessage());
    for (const message of messages) await queue.enqueue(message);
    const lease = await takeOne(queue);
    assert.equal(await queue.purge({ id: lease.id }, 1), 1);
    assert.equal(await queue.purge({ id: lease.id }, 1), 0);
    await queue.nack(lease, 0, failure("503"));
    await queue.ack(lease);
    assert.equal(await queue.purge({}, 2), 2);
    assert.equal(await queue.purge({ route: "other" }, 2), 0);
    assert.equal(await queue.purge({}, 2), 1);
    const { waiting, delivering, bytes } = await queue.stats();
    assert.deepEqual([waiting, delivering, bytes, await queue.due()], [0, 0, 0, []]);
  });
}
