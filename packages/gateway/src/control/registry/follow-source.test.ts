import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { deferred, type Deferred } from "../../../../../tests/kit/wait.ts";
import { Followed, turns } from "./source.fixtures.ts";
import type { Found, FoundInstance } from "./source.ts";

const up = (address: string, rest: Partial<FoundInstance> = {}): FoundInstance => ({
  ...{ address, status: "UP", weight: 1 },
  ...rest,
});

/** A source that says what the test tells it to; each time that it is followed counts. */
function open(t: TestContext, initial?: readonly FoundInstance[]) {
  const script: (Found | Error)[] = [];
  const state = { follows: 0, closed: 0 };
  let waiting: Deferred = deferred();
  const followed = new Followed(
    t,
    () => ({
      kind: "dns",
      place: "a",
      async *follow(signal) {
        state.follows++;
        try {
          for (;;) {
            const next = script.shift();
            if (next instanceof Error) throw next;
            if (next === undefined) {
              await Promise.race([waiting.promise, new Promise((end) => signal.addEventListener("abort", end))]);
              if (signal.aborted) return;
            } else yield next;
          }
        } finally {
          state.closed++;
        }
      },
    }),
    initial,
  );
  const say = async (...next: (Found | Error | readonly FoundInstance[])[]): Promise<void> => {
    script.push(...next.map((one) => (Array.isArray(one) ? { instances: one as FoundInstance[] } : (one as Found))));
    waiting.resolve();
    waiting = deferred();
    await turns();
  };
  followed.follower.start();
  return { followed, state, say };
}

test("what was known before stays until the source answers, and is doubted as what it said would be", async (t) => {
  const { followed, say } = open(t, [up("a:1"), up("b:1")]);
  assert.deepEqual([followed.shown(), followed.follower.answered], [["a:1", "b:1"], false]);
  await say([]);
  assert.deepEqual(followed.shown(), ["a:1 held", "b:1 held"]);
});

test("one that is held is given up when something else says that it is gone; one that is named is not", async (t) => {
  const { followed, say } = open(t, [up("a:1"), up("b:1"), up("c:1")]);
  await say([up("c:1")]);
  assert.deepEqual(followed.shown(), ["a:1 held", "b:1 held", "c:1"]);
  const before = followed.told.length;
  for (const address of ["a:1", "c:1", "d:1"]) followed.follower.release(address);
  assert.deepEqual(followed.shown(), ["b:1 held", "c:1"]);
  assert.equal(followed.told.length, before + 1);
});

test("one that drains or is down says so, and is believed when it goes", async (t) => {
  const { followed, say } = open(t);
  await say([up("a:1"), up("b:1")]);
  await say([up("a:1", { status: "DRAINING" }), up("b:1", { status: "DOWN" })]);
  assert.deepEqual(followed.shown(), ["a:1 DRAINING", "b:1 DOWN"]);
  await say([]);
  assert.deepEqual(followed.shown(), []);
});

test("half of them, or one of two, is believed", async (t) => {
  const { followed, say } = open(t);
  await say([up("a:1"), up("b:1"), up("c:1"), up("d:1")], [up("a:1"), up("b:1")]);
  assert.deepEqual(followed.shown(), ["a:1", "b:1"]);
  await say([up("b:1")]);
  assert.deepEqual(followed.shown(), ["b:1"]);
  await say([up("c:1")]);
  assert.deepEqual(followed.shown(), ["c:1"]);
});

test("a second look begins anew, and what it says is believed", async (t) => {
  const { followed, state, say } = open(t);
  await say([up("a:1"), up("b:1"), up("c:1")]);
  await say([up("a:1")]);
  assert.deepEqual(followed.shown(), ["a:1", "b:1 held", "c:1 held"]);
  assert.match(
    followed.follower.problem ?? "",
    /^it names 2 of 3 no more; they stay until a look after 2s says so too$/,
  );
  assert.deepEqual(state, { follows: 1, closed: 1 });
  await followed.pass(2_000);
  assert.equal(state.follows, 2);
  await say([up("c:1")]);
  assert.deepEqual([followed.shown(), followed.follower.problem], [["c:1"], undefined]);
});

test("a look that fails in between settles no doubt", async (t) => {
  const { followed, say } = open(t);
  await say([up("a:1")], []);
  await say(new Error("away"));
  await followed.pass(2_000);
  assert.deepEqual([followed.shown(), followed.follower.problem], [["a:1 held"], "away"]);
  await followed.pass(1_000);
  await say([]);
  assert.deepEqual(followed.shown(), []);
});

test("an address that is named twice is the more useful one", async (t) => {
  const { followed, say } = open(t);
  await say([up("a:1", { status: "DOWN" }), up("a:1", { weight: 2 }), up("a:1", { status: "DRAINING" })]);
  assert.deepEqual(followed.shown(), ["a:1 *2"]);
});

test("an answer of absurd size is refused", async (t) => {
  const { followed, say } = open(t);
  await say([up("a:1")]);
  await say(Array.from({ length: 10_001 }, (_, i) => up(`a:${i + 1}`)));
  assert.deepEqual([followed.shown(), followed.follower.problem], [["a:1"], "it names more than 10000 instances"]);
});

test("tries that fail at once come ever more seldom; one that held on for long begins from the first pause", async (t) => {
  const { followed, state, say } = open(t);
  const pauses: number[] = [];
  for (let i = 0; i < 12; i++) {
    await say([up("a:1")], new Error("away"));
    const startMs = followed.clock.now();
    const { follows } = state;
    await followed.until(() => state.follows > follows, "another try", 50);
    pauses.push(followed.clock.now() - startMs);
  }
  assert.ok(
    pauses.every((pauseMs, i) => pauseMs >= (pauses[i - 1] ?? 0) * 0.75 && pauseMs <= 30_050),
    pauses.join(),
  );
  assert.ok((pauses.at(-1) ?? 0) > 20_000, pauses.join());
  await say([up("a:1")]);
  await followed.pass(40_000);
  await say(new Error("away"));
  const { follows } = state;
  await followed.pass(150);
  assert.equal(state.follows, follows + 1);
});

test("a source that answers again is well at once", async (t) => {
  const { followed, say } = open(t);
  await say([up("a:1")]);
  await followed.pass(6_000);
  await say(new Error("away"));
  await followed.pass(300);
  assert.equal(followed.follower.problem, "away");
  await say([up("a:1")]);
  assert.equal(followed.follower.problem, undefined);
});

test("a source that answers and fails at once is not told to be well in between", async (t) => {
  const { followed, say } = open(t);
  await say([up("a:1")], new Error("away"));
  await followed.pass(300);
  await say([up("a:1")]);
  assert.equal(followed.follower.problem, "away");
  await followed.pass(3_000);
  await say(new Error("away again"));
  await followed.pass(2_500);
  assert.equal(followed.follower.problem, "away again");
  await say([up("a:1")]);
  await followed.pass(5_000);
  assert.equal(followed.follower.problem, undefined);
});
