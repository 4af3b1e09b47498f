import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { deliveriesPerServiceMax, Gate } from "./gate.ts";
import type { Verdict } from "./verdict.ts";

const ack: Verdict = { do: "ack" };
const retry: Verdict = { do: "retry", delayMs: 0, serviceWaitMs: 0, text: "" };
const wait: Verdict = { do: "wait", serviceWaitMs: 0 };
const always = (): number => 1;

function send(gate: Gate, verdict: Verdict, nowMs: number): void {
  gate.begin(1);
  gate.end(verdict, nowMs, always);
}

test("it opens with what is delivered, up to the most", () => {
  const gate = new Gate();
  assert.equal(gate.free(0), 1);
  gate.begin(1);
  assert.equal(gate.free(0), 0);
  gate.end(ack, 0, always);
  assert.equal(gate.free(0), 2);
  for (let count = 0; count < 100; count++) send(gate, ack, 0);
  assert.equal(gate.free(0), deliveriesPerServiceMax);
});

test("it closes by half with what fails, and a refusal is no failure of the service", () => {
  const gate = new Gate();
  for (let count = 0; count < 15; count++) send(gate, ack, 0);
  assert.equal(gate.free(0), 16);
  send(gate, retry, 0);
  assert.equal(gate.free(0), 8);
  send(gate, { do: "bury", cause: "refused", text: "" }, 0);
  assert.equal(gate.free(0), 9);
});

test("after failures in a row it is shut, longer each time, and one message tries whether it may open", () => {
  const gate = new Gate();
  let nowMs = 0;
  const pauses: number[] = [];
  for (let count = 0; count < 4; count++) send(gate, retry, nowMs);
  assert.equal(gate.shutForMs(nowMs), 0);
  for (let count = 0; count < 9; count++) {
    send(gate, retry, nowMs);
    pauses.push(gate.shutForMs(nowMs));
    assert.equal(gate.free(nowMs), 0);
    nowMs += gate.shutForMs(nowMs);
    assert.equal(gate.free(nowMs), 1);
  }
  assert.deepEqual(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
  send(gate, ack, nowMs);
  for (let count = 0; count < 4; count++) send(gate, retry, nowMs);
  assert.equal(gate.shutForMs(nowMs), 0);
  send(gate, retry, nowMs);
  assert.equal(gate.shutForMs(nowMs), 100);
});

test("it is shut at once where nothing could be sent, as long as the breaker says, within a minute", () => {
  const gate = new Gate();
  for (let count = 0; count < 30; count++) send(gate, ack, 0);
  send(gate, wait, 0);
  assert.deepEqual([gate.free(0), gate.shutForMs(0), gate.free(100)], [0, 100, 1]);
  send(gate, { do: "wait", serviceWaitMs: 7_000 }, 100);
  assert.equal(gate.shutForMs(100), 7_000);
  send(gate, { do: "wait", serviceWaitMs: 1e9 }, 10_000);
  assert.equal(gate.shutForMs(10_000), 60_000);
});

test("many that were under way together shut it once", () => {
  const gate = new Gate();
  for (let count = 0; count < 31; count++) send(gate, ack, 0);
  gate.begin(32);
  for (let count = 0; count < 32; count++) gate.end(wait, 0, always);
  assert.equal(gate.shutForMs(0), 100);
});

test("an instance that asks to be left alone is, though it is its first failure", () => {
  const gate = new Gate();
  send(gate, { ...retry, serviceWaitMs: 3_000 }, 0);
  assert.equal(gate.shutForMs(0), 3_000);
});

test("whatever happens, it lets one through at last and never more than the most", () => {
  const verdict = fc.constantFrom<Verdict>(ack, retry, wait, { ...retry, serviceWaitMs: 500 });
  fc.assert(
    fc.property(fc.array(fc.tuple(verdict, fc.nat(2_000)), { maxLength: 80 }), (steps) => {
      const gate = new Gate();
      let nowMs = 0;
      for (const [one, laterMs] of steps) {
        const free = gate.free(nowMs);
        assert.ok(free >= 0 && free + gate.inFlight <= deliveriesPerServiceMax);
        send(gate, one, nowMs);
        nowMs += laterMs;
      }
      assert.equal(gate.inFlight, 0);
      assert.ok(gate.free(nowMs + 60_000) >= 1);
    }),
  );
});
