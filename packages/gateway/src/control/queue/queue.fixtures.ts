import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { messageId, type NewMessage } from "../../proxy/message.ts";
import type { DeliveryFailure, Lease, Queue, QueueLimits, Reserved } from "./queue.ts";

/** A queue under test. */
export interface OpenedQueue {
  readonly queue: Queue;
  /** The same messages after whoever had the queue has ended without a word. */
  reopen(): Promise<Queue>;
}

export type OpenQueue = (t: TestContext, limits: QueueLimits) => Promise<OpenedQueue>;

export const plenty: QueueLimits = { messages: 10_000, bytes: 64 * 1024 * 1024, deadLetters: 1_000 };
export const hourMs = 3_600_000;
/** What is over before anybody looks. */
export const momentMs = 5;

let made = 0;

/** A message of 100 bytes unless said otherwise. */
export function newMessage(init: Partial<NewMessage> = {}): NewMessage {
  made++;
  const entropy = new Uint8Array(16);
  new DataView(entropy.buffer).setUint32(12, made);
  for (let at = 8, rest = made; at < 16; at++, rest >>= 5) entropy[at] = rest & 31;
  return {
    id: messageId(1_700_000_000_000 + made, entropy),
    route: "r",
    service: "s",
    head: Buffer.alloc(60, "h"),
    body: Buffer.alloc(40, "b"),
    deadlineMs: hourMs,
    backoffMs: 1_000,
    backoffMaxMs: 60_000,
    ...init,
  };
}

export const failure = (text: string): DeliveryFailure => ({ atMs: 1_700_000_000_000, text });

export async function take(queue: Queue, count = 100, leaseMs = hourMs, service = "s"): Promise<readonly Reserved[]> {
  return queue.reserve(service, count, Infinity, leaseMs);
}

export async function takeOne(queue: Queue, leaseMs = hourMs): Promise<Lease> {
  const [reserved] = await take(queue, 1, leaseMs);
  assert.ok(reserved !== undefined, "there is nothing to take");
  return reserved.lease;
}

export const idsOf = (reserved: readonly Reserved[]): string[] => reserved.map(({ lease }) => lease.id);

export async function listed(queue: Queue, query: Parameters<Queue["list"]>[0] = { limit: 100 }): Promise<string[]> {
  return (await queue.list(query)).messages.map(({ id }) => id);
}

export interface SuiteOptions {
  readonly skip?: string | false;
}

/** One test of a queue, as every kind of queue has to pass it. */
export type Check = (
  what: string,
  action: (queue: Queue, opened: OpenedQueue) => Promise<void>,
  limits?: QueueLimits,
) => void;

export function checkOf(name: string, open: OpenQueue, { skip = false }: SuiteOptions): Check {
  return (what, action, limits = plenty) =>
    void test(`${name}: ${what}`, { skip }, async (t) => {
      const opened = await open(t, limits);
      await action(opened.queue, opened);
    });
}
