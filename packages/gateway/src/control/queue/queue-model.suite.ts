import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { NewMessage } from "../../proxy/message.ts";
import { failure, hourMs, newMessage, plenty, type OpenQueue, type SuiteOptions } from "./queue.fixtures.ts";
import type { Lease, MessageState, Queue } from "./queue.ts";

/** A message as the model has it. */
interface Known {
  readonly message: NewMessage;
  state: "ready" | "taken" | "later" | "dead" | "gone";
  attempts: number;
  lease?: Lease;
}

const states: Readonly<Record<Exclude<Known["state"], "gone">, MessageState>> = {
  ready: "waiting",
  later: "waiting",
  taken: "delivering",
  dead: "dead",
};

/** What a queue is, without leases that run out and deadlines that pass: no time goes by here. */
class Model {
  readonly known: Known[] = [];
  /** By scope. */
  readonly keys = new Map<string, Known>();

  enqueue(message: NewMessage): string {
    const scope = message.once?.scope;
    const owner = scope === undefined ? undefined : this.keys.get(scope);
    if (owner !== undefined)
      return owner.message.once?.request === message.once?.request ? owner.message.id : "conflict";
    const known: Known = { message, state: "ready", attempts: 0 };
    this.known.push(known);
    if (scope !== undefined) this.keys.set(scope, known);
    return message.id;
  }

  freeKey(known: Known): void {
    const scope = known.message.once?.scope;
    if (scope !== undefined && this.keys.get(scope) === known) this.keys.delete(scope);
  }

  revive(known: Known): void {
    known.state = "ready";
    known.attempts = 0;
    const scope = known.message.once?.scope;
    if (scope !== undefined && !this.keys.has(scope)) this.keys.set(scope, known);
  }

  shown(): string[] {
    return this.known.flatMap(({ message: { id, service }, state, attempts }) =>
      state === "gone" ? [] : [`${id} ${service} ${states[state]} ${attempts}`],
    );
  }
}

/** One call, on the queue and on the model. `pick` chooses among the messages there have been. */
type Step = (queue: Queue, model: Model) => Promise<void>;

const pickOf = fc.nat(1_000);
const service = fc.constantFrom("a", "b");

const enqueue = fc
  .tuple(service, fc.option(fc.nat(3)), fc.nat(1))
  .map(([to, key, request]): Step => async (queue, model) => {
    const once = key === null ? {} : { once: { scope: `scope ${key}`, request: `request ${request}` } };
    const message = newMessage({ service: to, ...once });
    const got = await queue.enqueue(message).then(
      ({ id }) => id,
      (error: { code: string }) => error.code,
    );
    assert.equal(got, model.enqueue(message));
  });

const reserve = fc.tuple(service, fc.integer({ min: 1, max: 4 })).map(([from, most]): Step => async (queue, model) => {
  const ready = model.known.filter(({ message, state }) => state === "ready" && message.service === from);
  const taken = await queue.reserve(from, most, Infinity, hourMs);
  assert.equal(taken.length, Math.min(most, ready.length));
  for (const { lease, attempts } of taken) {
    const known = ready.find(({ message }) => message.id === lease.id);
    assert.ok(known !== undefined, "what was not ready was handed out");
    assert.equal(attempts, known.attempts);
    known.state = "taken";
    known.lease = lease;
  }
});

/** Something done to one message that has a lease, valid or not any more. */
function settle(action: (queue: Queue, lease: Lease) => Promise<void>, after: (model: Model, known: Known) => void) {
  return pickOf.map((pick): Step => async (queue, model) => {
    const leased = model.known.filter(({ lease }) => lease !== undefined);
    const known = leased[pick % Math.max(1, leased.length)];
    if (known?.lease === undefined) return;
    await action(queue, known.lease);
    after(model, known);
  });
}

const onlyTaken = (after: (model: Model, known: Known) => void) => (model: Model, known: Known) => {
  if (known.state === "taken") after(model, known);
};

const ack = settle(
  (queue, lease) => queue.ack(lease),
  (_, known) => {
    if (known.state !== "dead") known.state = "gone";
  },
);
const nack = fc.constantFrom(0, hourMs).chain((delayMs) =>
  settle(
    (queue, lease) => queue.nack(lease, delayMs, failure("503")),
    onlyTaken((_, known) => {
      known.state = delayMs === 0 ? "ready" : "later";
      known.attempts++;
    }),
  ),
);
const bury = settle(
  (queue, lease) => queue.bury(lease, "refused", failure("404")),
  onlyTaken((model, known) => {
    known.state = "dead";
    known.attempts++;
    model.freeKey(known);
  }),
);
const release = settle(
  (queue, lease) => queue.release([lease]),
  onlyTaken((_, known) => (known.state = "ready")),
);

function change(action: (queue: Queue, id: string) => Promise<number>, after: (model: Model, known: Known) => number) {
  return pickOf.map((pick): Step => async (queue, model) => {
    const known = model.known[pick % Math.max(1, model.known.length)];
    if (known === undefined) return;
    assert.equal(await action(queue, known.message.id), after(model, known));
  });
}

const replay = change(
  (queue, id) => queue.replay({ id }, 1),
  (model, known) => {
    if (known.state === "later") known.state = "ready";
    else if (known.state === "dead") model.revive(known);
    else return 0;
    return 1;
  },
);
const purge = change(
  (queue, id) => queue.purge({ id }, 1),
  (model, known) => {
    if (known.state === "gone") return 0;
    known.state = "gone";
    model.freeKey(known);
    return 1;
  },
);

const step = fc.oneof(
  { arbitrary: enqueue, weight: 5 },
  { arbitrary: reserve, weight: 4 },
  ...[ack, nack, bury, release, replay, purge].map((arbitrary) => ({ arbitrary, weight: 1 })),
);

async function compare(queue: Queue, model: Model): Promise<void> {
  const { messages } = await queue.list({ limit: 1_000 });
  const shown = messages.map((one) => `${one.id} ${one.service} ${one.state} ${one.attempts}`);
  assert.deepEqual(shown.toReversed(), model.shown());
  const of = (...wanted: Known["state"][]) => model.known.filter(({ state }) => wanted.includes(state));
  const bytes = (some: readonly Known[]): number => some.length * 100;
  const stats = await queue.stats();
  assert.deepEqual(
    [stats.waiting, stats.delivering, stats.dead, stats.bytes, stats.deadBytes],
    [
      of("ready", "later").length,
      of("taken").length,
      of("dead").length,
      bytes(of("ready", "later", "taken")),
      bytes(of("dead")),
    ],
  );
  const due = (await queue.due()).map(({ service: name, inMs }) => `${name} ${inMs === 0 ? "now" : "later"}`);
  const expected = ["a", "b"].flatMap((name) => {
    const here = (state: Known["state"]) => of(state).some(({ message }) => message.service === name);
    return here("ready") ? [`${name} now`] : here("later") ? [`${name} later`] : [];
  });
  assert.deepEqual(due.toSorted(), expected);
}

/** Any calls in any order against a queue that is nothing but a list. `runs`: sequences of them. */
export function queueModelSuite(
  name: string,
  open: OpenQueue,
  runs: number,
  { skip = false }: SuiteOptions = {},
): void {
  test(`${name}: whatever is called in whatever order, it is what a list would be`, { skip }, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const { queue } = await open(t, plenty);
        const model = new Model();
        for (const one of steps) await one(queue, model);
        await compare(queue, model);
      }),
      { numRuns: runs },
    );
  });
}
