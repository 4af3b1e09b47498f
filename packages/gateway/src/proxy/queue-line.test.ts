import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Seal } from "../core/seal.ts";
import { isMessageId, messageId, type HandedOver, type NewMessage, type QueueFromWorker } from "./message.ts";
import { enqueuingBytesMax, enqueuingMax, QueueLine } from "./queue-line.ts";

function open() {
  const posted: QueueFromWorker[] = [];
  const line = new QueueLine({
    post: (message) => posted.push(message),
    seal: new Seal(undefined),
    clock: { wall: () => 1_700_000_000_000 },
    entropy: (bytes) => randomBytes(bytes),
  });
  return { line, posted };
}

const message = (id: string): NewMessage => ({
  id,
  route: "r",
  service: "s",
  head: Buffer.alloc(0),
  deadlineMs: 1,
  backoffMs: 1,
  backoffMaxMs: 1,
});

test("more requests than may be queued at a time are refused until one is done", () => {
  const { line } = open();
  for (let count = 0; count < enqueuingMax; count++) line.enter();
  assert.throws(() => line.enter(), { code: "HG_OVERLOADED" });
  line.leave(0);
  line.enter();
});

test("more bytes than may be held are refused until some are let go", () => {
  const { line } = open();
  line.enter();
  line.hold(enqueuingBytesMax);
  assert.throws(() => line.hold(1), { code: "HG_OVERLOADED" });
  line.leave(enqueuingBytesMax);
  line.hold(1);
});

test("each answer goes to the request it is for, in whatever order; one nobody waits for is dropped", () => {
  const { line, posted } = open();
  const answers: [string, HandedOver][] = [];
  line.handOver(message("a"), (result) => answers.push(["a", result]));
  const stop = line.handOver(message("b"), (result) => answers.push(["b", result]));
  line.handOver(message("c"), (result) => answers.push(["c", result]));
  assert.deepEqual(
    posted.map((one) => one.type === "enqueue" && one.message.id),
    ["a", "b", "c"],
  );
  stop();
  for (const id of ["c", "b", "a", "a"]) line.receive(id, { kind: "known", id: `of ${id}` });
  assert.deepEqual(answers, [
    ["c", { kind: "known", id: "of c" }],
    ["a", { kind: "known", id: "of a" }],
  ]);
});

test("ids are in the order of time and never the same", () => {
  const { line } = open();
  const ids = Array.from({ length: 1_000 }, () => line.newId());
  assert.equal(new Set(ids).size, 1_000);
  assert.ok(ids.every(isMessageId));
  assert.equal(messageId(1_469_918_176_385, new Uint8Array(16)), "01ARYZ6S410000000000000000");
  assert.ok(messageId(1_000, new Uint8Array(16).fill(31)) < messageId(1_001, new Uint8Array(16)));
});
