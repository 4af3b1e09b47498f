import assert from "node:assert/strict";
import { isMessageId } from "../../proxy/message.ts";
import { waitFor } from "../../../../../tests/kit/wait.ts";
import {
  checkOf,
  failure,
  hourMs,
  idsOf,
  listed,
  momentMs,
  newMessage,
  take,
  takeOne,
  type OpenQueue,
  type SuiteOptions,
} from "./queue.fixtures.ts";
import { errorsMax } from "./queue.ts";
import { queueListsSuite } from "./queue-lists.suite.ts";

/** What every queue must do, wherever its messages are. */
export function queueSuite(name: string, open: OpenQueue, options: SuiteOptions = {}): void {
  queueListsSuite(name, open, options);
  const check = checkOf(name, open, options);

  check("a message is handed out as it was handed over, and is gone once it is acknowledged", async (queue) => {
    const message = newMessage({ head: Buffer.from([0, 255, 13, 10]), body: Buffer.from([1, 0, 128]) });
    const bodiless = newMessage({ head: Buffer.from("x") });
    const { body: _, ...without } = bodiless;
    assert.ok(isMessageId(message.id));
    assert.deepEqual(await queue.enqueue(message), { kind: "queued", id: message.id });
    await queue.enqueue(without);
    assert.deepEqual(await queue.due(), [{ service: "s", inMs: 0 }]);
    const [first, second] = await take(queue);
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual(Buffer.from(first.head), message.head);
    assert.deepEqual(Buffer.from(first.body ?? []), message.body);
    const { route, service, bytes, attempts, backoffMs, backoffMaxMs } = first;
    assert.deepEqual({ route, service, bytes, attempts }, { route: "r", service: "s", bytes: 7, attempts: 0 });
    assert.deepEqual([backoffMs, backoffMaxMs, "body" in second], [1_000, 60_000, false]);
    await queue.ack(first.lease);
    await queue.ack(second.lease);
    await queue.ack(second.lease);
    assert.deepEqual(await queue.due(), []);
    assert.equal(await queue.get(message.id), undefined);
    const { waiting, delivering, dead, bytes: left } = await queue.stats();
    assert.deepEqual([waiting, delivering, dead, left], [0, 0, 0, 0]);
  });

  check("what is taken is nobody else's until it is given back or its time is over", async (queue) => {
    await queue.enqueue(newMessage());
    const lease = await takeOne(queue);
    assert.deepEqual([await take(queue), await queue.due()], [[], []]);
    await queue.release([lease]);
    const again = await takeOne(queue, momentMs);
    const late = await waitFor(async () => (await take(queue, 1, hourMs))[0], { what: "the lease to run out" });
    // Whoever had it before has no say any more, but for having delivered it.
    await queue.nack(again, 0, failure("late"));
    await queue.bury(again, "refused", failure("late"));
    await queue.release([again]);
    assert.deepEqual(await take(queue), []);
    assert.equal((await queue.stats()).dead, 0);
    await queue.ack(again);
    await queue.nack(late.lease, 0, failure("gone"));
    assert.deepEqual([await queue.due(), await listed(queue)], [[], []]);
  });

  check("a lease that is renewed lasts", async (queue) => {
    await queue.enqueue(newMessage());
    const lease = await takeOne(queue, momentMs);
    await queue.renew([lease], hourMs);
    await queue.enqueue(newMessage({ service: "other" }));
    // Something else's lease of the same length has run out by now.
    await queue.reserve("other", 1, Infinity, momentMs);
    await waitFor(async () => (await queue.reserve("other", 1, Infinity, hourMs)).length === 1);
    assert.deepEqual(await take(queue), []);
  });

  check("a failed one comes again after its time, with how often and why", async (queue) => {
    const { id } = newMessage();
    await queue.enqueue(newMessage({ id }));
    await queue.nack(await takeOne(queue), hourMs, failure("first"));
    assert.deepEqual(await take(queue), []);
    const [due] = await queue.due();
    assert.ok(due !== undefined && due.inMs > hourMs / 2 && due.inMs <= hourMs, `due in ${due?.inMs}`);
    assert.equal(await queue.replay({ id }, 1), 1);
    await queue.nack(await takeOne(queue), momentMs, failure("second"));
    const [third] = await waitFor(async () => {
      const taken = await take(queue);
      return taken.length > 0 && taken;
    });
    assert.equal(third?.attempts, 2);
    const shown = await queue.get(id);
    assert.deepEqual(shown?.errors, [failure("first"), failure("second")]);
    assert.deepEqual([shown.state, shown.attempts], ["delivering", 2]);
  });

  check("of many errors the newest are kept", async (queue) => {
    const { id } = newMessage();
    await queue.enqueue(newMessage({ id }));
    for (let count = 0; count < errorsMax + 3; count++) {
      const lease = await waitFor(async () => (await take(queue))[0]?.lease);
      await queue.nack(lease, 0, failure(String(count)));
    }
    const texts = (await queue.get(id))?.errors.map(({ text }) => text) ?? [];
    assert.deepEqual([texts.length, texts.at(-1), texts[0]], [errorsMax, String(errorsMax + 2), "3"]);
  });

  check("a buried one is in the dead-letter list and nowhere else", async (queue) => {
    const message = newMessage();
    await queue.enqueue(message);
    await queue.bury(await takeOne(queue), "refused", failure("404"));
    assert.deepEqual([await queue.due(), await take(queue), await queue.expire(10)], [[], [], []]);
    const shown = await queue.get(message.id);
    assert.ok(shown !== undefined);
    const { state, cause, errors, attempts } = shown;
    assert.deepEqual(
      { state, cause, errors, attempts },
      { state: "dead", cause: "refused", errors: [failure("404")], attempts: 1 },
    );
    const { waiting, dead, bytes, deadBytes } = await queue.stats();
    assert.deepEqual([waiting, dead, bytes, deadBytes], [0, 1, 0, 100]);
  });

  check("one whose time is over is buried, but not while it is being delivered", async (queue) => {
    const [early, taken, late] = [
      newMessage({ deadlineMs: momentMs }),
      newMessage({ deadlineMs: hourMs }),
      newMessage(),
    ];
    await queue.enqueue(taken);
    const lease = await takeOne(queue);
    await queue.enqueue(early);
    await queue.enqueue(late);
    const deaths = await waitFor(async () => {
      const expired = await queue.expire(10);
      return expired.length > 0 && expired;
    });
    assert.deepEqual(deaths, [{ id: early.id, route: "r", service: "s" }]);
    assert.equal((await queue.get(early.id))?.cause, "deadline");
    await queue.ack(lease);
    assert.deepEqual(idsOf(await take(queue)), [late.id]);
  });

  check("one that is delivered when its time is over is buried once it has failed", async (queue) => {
    const message = newMessage({ deadlineMs: 200 });
    await queue.enqueue(message);
    const lease = await takeOne(queue);
    await waitFor(async () => ((await queue.get(message.id))?.deadlineAtMs ?? 0) + 10 < Date.now());
    assert.deepEqual(await queue.expire(10), []);
    await queue.nack(lease, 0, failure("late"));
    assert.deepEqual(await take(queue), []);
    assert.deepEqual(
      (await queue.expire(10)).map(({ id }) => id),
      [message.id],
    );
  });

  check("at most so many are buried at a time", async (queue) => {
    for (let count = 0; count < 5; count++) await queue.enqueue(newMessage({ deadlineMs: 1 }));
    const counts: number[] = [];
    await waitFor(async () => {
      counts.push((await queue.expire(2)).length);
      return (await queue.stats()).dead === 5;
    });
    assert.ok(Math.max(...counts) <= 2, counts.join());
  });

  check("services do not stand in each other's way; the longest due goes first", async (queue) => {
    const a = Array.from({ length: 3 }, () => newMessage({ service: "a" }));
    const b = newMessage({ service: "b" });
    for (const message of [...a, b]) await queue.enqueue(message);
    assert.deepEqual((await queue.due()).map(({ service }) => service).toSorted(), ["a", "b"]);
    assert.deepEqual(idsOf(await queue.reserve("b", 10, Infinity, hourMs)), [b.id]);
    assert.deepEqual(
      (await queue.due()).map(({ service }) => service),
      ["a"],
    );
    const ids = a.map(({ id }) => id);
    assert.deepEqual(idsOf(await queue.reserve("a", 2, Infinity, hourMs)), ids.slice(0, 2));
    assert.deepEqual(await queue.reserve("c", 1, Infinity, hourMs), []);
  });

  check("no more bytes are taken than asked for, but one message always", async (queue) => {
    for (let count = 0; count < 4; count++) await queue.enqueue(newMessage());
    assert.equal((await queue.reserve("s", 10, 250, hourMs)).length, 2);
    assert.equal((await queue.reserve("s", 10, 1, hourMs)).length, 1);
  });

  check("several that take at the same time never take the same", async (queue) => {
    const messages = Array.from({ length: 60 }, () => newMessage());
    await Promise.all(messages.map((message) => queue.enqueue(message)));
    const taken = await Promise.all(Array.from({ length: 20 }, () => take(queue, 4)));
    const ids = taken.flat().map(({ lease }) => lease.id);
    assert.equal(ids.length, 60);
    assert.deepEqual(new Set(ids), new Set(messages.map(({ id }) => id)));
  });

  check("after an end without a word everything that was not acknowledged is there", async (queue, opened) => {
    const once = { scope: "scope", request: "request" };
    const [acked, taken, failed, dead, waiting] = Array.from({ length: 5 }, (_, at) =>
      newMessage(at === 4 ? { once } : {}),
    );
    for (const message of [acked, taken, failed, dead, waiting])
      if (message !== undefined) await queue.enqueue(message);
    const [first, , third, fourth] = await take(queue, 4, momentMs * 20);
    assert.ok(first !== undefined && third !== undefined && fourth !== undefined);
    await queue.ack(first.lease);
    await queue.nack(third.lease, 0, failure("503"));
    await queue.bury(fourth.lease, "refused", failure("404"));
    const again = await opened.reopen();
    const got = new Set<string>();
    await waitFor(async () => {
      for (const { lease } of await take(again)) got.add(lease.id);
      return got.size >= 3;
    });
    assert.deepEqual(got, new Set([taken, failed, waiting].map((message) => message?.id)));
    assert.equal((await again.get(failed?.id ?? ""))?.attempts, 1);
    assert.equal((await again.get(dead?.id ?? ""))?.state, "dead");
    assert.equal((await again.enqueue(newMessage({ once }))).kind, "known");
    const stats = await again.stats();
    assert.deepEqual([stats.delivering, stats.dead, stats.bytes], [3, 1, 300]);
  });

  check("the oldest is known by when it came", async (queue) => {
    assert.equal((await queue.stats()).oldestAtMs, undefined);
    const first = newMessage();
    await queue.enqueue(first);
    const came = (await queue.get(first.id))?.firstAtMs;
    assert.ok(came !== undefined && Math.abs(came - Date.now()) < 60_000);
    await queue.enqueue(newMessage());
    assert.equal((await queue.stats()).oldestAtMs, came);
  });
}
