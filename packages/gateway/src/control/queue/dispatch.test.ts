import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../tests/kit/clock.ts";
import { fakeTimers, pass, settled } from "../../../../../tests/kit/fake-timers.ts";
import { silentLog } from "../../core/log.ts";
import type { Delivery, DeliveryOutcome, NewMessage } from "../../proxy/message.ts";
import { deliveriesMax, Dispatcher, leaseMs, type Courier } from "./dispatch.ts";
import { openFile, queueOf } from "./embedded/queue-file.fixtures.ts";
import { deliveriesPerServiceMax } from "./gate.ts";
import { newMessage, plenty } from "./queue.fixtures.ts";
import { QueueError, type Queue } from "./queue.ts";

const day = 24 * 3_600_000;

/** A worker that keeps what it is given until the test says how it ended. */
class FakeWorker implements Courier {
  readonly given: { readonly call: number; readonly delivery: Delivery }[] = [];

  post(message: Parameters<Courier["post"]>[0]): void {
    if (message.type === "deliver") this.given.push(message);
  }

  get ids(): string[] {
    return this.given.map(({ delivery }) => delivery.id);
  }
}

const answer = (status: number): DeliveryOutcome => ({ kind: "answer", status, instance: "i" });
const nobody: DeliveryOutcome = { kind: "error", code: "HG_NO_INSTANCE", nothingSent: true, detail: "", instance: "" };

function open(t: TestContext) {
  const clock = new FakeClock();
  const opened = openFile(t, plenty, clock);
  const queue = queueOf(opened.file());
  const counts = new Map<string, number>();
  const deaths: string[] = [];
  const dispatcherOf = (its: Queue): Dispatcher =>
    new Dispatcher({
      queue: its,
      clock,
      timers: fakeTimers(clock),
      random: () => 0.5,
      log: silentLog,
      count: (service, result, messages) => {
        const key = `${service} ${result}`;
        counts.set(key, (counts.get(key) ?? 0) + messages);
      },
      onDeath: ({ id }, cause) => deaths.push(`${id} ${cause}`),
    });
  const dispatcher = dispatcherOf(queue);
  const put = (messages: readonly NewMessage[]): void =>
    opened.file().transaction(() => {
      for (const message of messages) opened.file().enqueue(message);
    });
  const enqueue = async (count: number, init: Partial<NewMessage> = {}): Promise<string[]> => {
    const messages = Array.from({ length: count }, () => newMessage({ deadlineMs: day, ...init }));
    put(messages);
    dispatcher.poke();
    await settle();
    return messages.map(({ id }) => id);
  };
  /** Ends everything a worker has, until it has nothing any more. */
  const answerAll = async (worker: FakeWorker, outcome: DeliveryOutcome): Promise<number> => {
    let most = 0;
    while (worker.given.length > 0) {
      most = Math.max(most, worker.given.length);
      for (const { call } of worker.given.splice(0)) dispatcher.ended(call, outcome);
      await settle();
    }
    return most;
  };
  return { clock, queue, dispatcher, dispatcherOf, counts, deaths, put, enqueue, answerAll };
}

/** What a round and its calls to the queue take. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await settled();
}

test("messages are delivered as they come, the more at a time the more of them are taken well", async (t) => {
  const { dispatcher, enqueue, answerAll, counts, queue } = open(t);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  await enqueue(200);
  assert.equal(worker.given.length, 1);
  const most = await answerAll(worker, answer(200));
  assert.equal(most, deliveriesPerServiceMax);
  assert.deepEqual([...counts], [["s delivered", 200]]);
  const { waiting, delivering } = await queue.stats();
  assert.deepEqual([waiting, delivering], [0, 0]);
});

test("one that fails is tried again after its back-off, and not before", async (t) => {
  const { clock, dispatcher, enqueue, answerAll, queue, counts } = open(t);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  const [id = ""] = await enqueue(1, { backoffMs: 8_000 });
  await answerAll(worker, answer(500));
  assert.equal(worker.given.length, 0);
  const shown = await queue.get(id);
  assert.deepEqual([shown?.attempts, shown?.errors.map(({ text }) => text)], [1, ["i answered 500."]]);
  await pass(clock, 3_900, 100);
  assert.equal(worker.given.length, 0);
  await pass(clock, 200, 100);
  assert.deepEqual(worker.ids, [id]);
  await answerAll(worker, answer(200));
  assert.deepEqual(
    [...counts],
    [
      ["s retried", 1],
      ["s delivered", 1],
    ],
  );
});

test("where no instance can be asked messages wait without an attempt, and other services go on", async (t) => {
  const { clock, dispatcher, enqueue, answerAll, queue, counts } = open(t);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  const [id = ""] = await enqueue(1);
  await answerAll(worker, nobody);
  await enqueue(1, { service: "other" });
  assert.equal(worker.given.length, 1);
  await answerAll(worker, answer(200));
  for (let tries = 0; tries < 5; tries++) {
    await pass(clock, 6_000, 50);
    if (worker.given.length > 0) await answerAll(worker, nobody);
  }
  const shown = await queue.get(id);
  assert.deepEqual([shown?.attempts, shown?.errors], [0, []]);
  assert.ok((counts.get("s deferred") ?? 0) >= 4, JSON.stringify([...counts]));
  assert.equal(counts.get("other delivered"), 1);
  await pass(clock, 6_000, 50);
  await answerAll(worker, answer(200));
  assert.equal(await queue.get(id), undefined);
});

test("a service that is down gets one message at a time and ever more seldom, however many wait", async (t) => {
  const { clock, dispatcher, enqueue, queue, counts } = open(t);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  await enqueue(500, { backoffMs: 1, backoffMaxMs: 1 });
  let most = 0;
  for (let passedMs = 0; passedMs < 60_000; passedMs += 50) {
    most = Math.max(most, worker.given.length);
    for (const { call } of worker.given.splice(0)) dispatcher.ended(call, answer(503));
    await pass(clock, 50, 50);
  }
  assert.equal(most, 1);
  const tried = counts.get("s retried") ?? 0;
  assert.ok(tried > 10 && tried < 40, `${tried} tries in a minute`);
  assert.equal((await queue.stats()).waiting, 500);
});

test("what will never be taken goes to the dead-letter list at once", async (t) => {
  const { dispatcher, enqueue, answerAll, queue, deaths, counts } = open(t);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  const [refused = ""] = await enqueue(1);
  await answerAll(worker, answer(422));
  const [unreadable = ""] = await enqueue(1);
  await answerAll(worker, { kind: "unreadable", detail: "it is damaged" });
  assert.deepEqual(deaths, [`${refused} refused`, `${unreadable} unreadable`]);
  assert.equal((await queue.get(refused))?.cause, "refused");
  assert.deepEqual(
    [...counts],
    [
      ["s refused", 1],
      ["s unreadable", 1],
    ],
  );
});

test("after its deadline a message is dead, also while its service is left alone", async (t) => {
  const { clock, dispatcher, enqueue, answerAll, deaths, queue, counts } = open(t);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  const [id = ""] = await enqueue(1, { deadlineMs: 20_000 });
  await answerAll(worker, { ...nobody, code: "HG_CIRCUIT_OPEN", retryAfterMs: 60_000 });
  await pass(clock, 19_000, 500);
  assert.deepEqual(deaths, []);
  await pass(clock, 3_000, 500);
  assert.deepEqual(deaths, [`${id} deadline`]);
  assert.equal((await queue.get(id))?.cause, "deadline");
  assert.equal(counts.get("s expired"), 1);
});

test("what a worker had when it ended is tried again by another", async (t) => {
  const { clock, dispatcher, enqueue, answerAll, queue } = open(t);
  const [first, second] = [new FakeWorker(), new FakeWorker()];
  dispatcher.joined(first);
  const [id = ""] = await enqueue(1);
  const [{ call } = { call: 0 }] = first.given;
  dispatcher.left(first);
  dispatcher.joined(second);
  await pass(clock, 2_000, 50);
  assert.deepEqual(second.ids, [id]);
  // An answer that comes after all decides nothing.
  dispatcher.ended(call, answer(404));
  await answerAll(second, answer(200));
  assert.equal(await queue.get(id), undefined);
});

test("deliveries go to the worker that has the fewest", async (t) => {
  const { dispatcher, enqueue } = open(t);
  const workers = [new FakeWorker(), new FakeWorker(), new FakeWorker()];
  for (const worker of workers) dispatcher.joined(worker);
  for (let service = 0; service < 9; service++) await enqueue(1, { service: `s${service}` });
  assert.deepEqual(
    workers.map(({ given }) => given.length),
    [3, 3, 3],
  );
});

test("all services together get no more than so many at a time, and each gets its turn", async (t) => {
  const { dispatcher, put, answerAll, counts } = open(t);
  const worker = new FakeWorker();
  const services = Array.from({ length: deliveriesMax + 40 }, (_, at) => `s${at}`);
  put(services.map((service) => newMessage({ service, deadlineMs: day })));
  dispatcher.joined(worker);
  for (let turn = 0; turn < services.length; turn++) await settled();
  assert.equal(worker.given.length, deliveriesMax);
  await answerAll(worker, answer(200));
  assert.equal(counts.size, services.length);
});

test("a message stays with who delivers it for as long as that takes", async (t) => {
  const { clock, dispatcher, dispatcherOf, enqueue, queue, answerAll } = open(t);
  const [first, second] = [new FakeWorker(), new FakeWorker()];
  dispatcher.joined(first);
  const [id = ""] = await enqueue(1);
  const other = dispatcherOf(queue);
  other.joined(second);
  await pass(clock, leaseMs * 3, 1_000);
  assert.deepEqual([first.ids, second.ids], [[id], []]);
  await answerAll(first, answer(200));
  assert.equal(await queue.get(id), undefined);
});

test("what cannot be told to the queue is told later, and meanwhile nothing more is taken in its place", async (t) => {
  const { clock, dispatcherOf, queue, enqueue } = open(t);
  let away = false;
  const unsure: Queue = {
    ...queue,
    ack: (lease) => (away ? Promise.reject(new QueueError("away", "The disk is full.")) : queue.ack(lease)),
  };
  const dispatcher = dispatcherOf(unsure);
  const worker = new FakeWorker();
  await enqueue(3);
  dispatcher.joined(worker);
  await settle();
  away = true;
  const [{ call } = { call: 0 }] = worker.given.splice(0);
  dispatcher.ended(call, answer(200));
  await pass(clock, 20_000, 100);
  assert.equal(worker.given.length, 0);
  away = false;
  await pass(clock, 1_000, 100);
  assert.equal(worker.given.length, 2);
  assert.equal((await queue.stats()).waiting + (await queue.stats()).delivering, 2);
});

test("a queue that is away is asked again until it is back", async (t) => {
  const { clock, dispatcherOf, queue, enqueue } = open(t);
  let away = true;
  const unsure: Queue = {
    ...queue,
    due: () => (away ? Promise.reject(new QueueError("away", "It is away.")) : queue.due()),
  };
  const dispatcher = dispatcherOf(unsure);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  await enqueue(1);
  await pass(clock, 10_000, 500);
  assert.equal(worker.given.length, 0);
  away = false;
  await pass(clock, 1_500, 500);
  assert.equal(worker.given.length, 1);
});

test("once stopped it takes nothing more, finishes what is under way, and gives back what did not end", async (t) => {
  const { clock, dispatcher, dispatcherOf, enqueue, queue } = open(t);
  const worker = new FakeWorker();
  dispatcher.joined(worker);
  await enqueue(1, { service: "a" });
  const [left = ""] = await enqueue(1, { service: "b" });
  dispatcher.stop();
  await enqueue(1, { service: "c" });
  await pass(clock, 5_000, 500);
  assert.equal(worker.given.length, 2);
  const [{ call } = { call: 0 }] = worker.given;
  dispatcher.ended(call, answer(200));
  await settle();
  await dispatcher.close();
  const { waiting, delivering } = await queue.stats();
  assert.deepEqual([waiting, delivering], [2, 0]);
  const next = dispatcherOf(queue);
  const another = new FakeWorker();
  next.joined(another);
  await settle();
  assert.ok(another.ids.includes(left));
});
