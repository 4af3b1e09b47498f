import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Followed, turns } from "./source.fixtures.ts";
import type { Source, SourceParts } from "./source.ts";

/** What a server can do to a source. */
export const failures = ["error", "garbage", "half", "silence", "cut"] as const;
export type Failure = (typeof failures)[number];

/** A source and the server that it asks. */
export interface SourceHarness {
  readonly open: (parts: SourceParts) => Source;
  /** What the server says from now on: `10.0.0.1:80`. All have the same port. Who waits is told. */
  readonly set: (addresses: readonly string[]) => void;
  /** Answers of that kind from now on; who waits gets one. `undefined`: right ones again. */
  readonly fail: (failure: Failure | undefined) => void;
  /** Requests so far. */
  readonly requests: () => number;
  /** How long an answer without instances is doubted. Default: 2 s. */
  readonly emptyKeptMs?: number;
}

/** What every source holds, followed as a gateway does. */
export function sourceSuite(name: string, start: (t: TestContext) => Promise<SourceHarness>): void {
  const a = "10.0.0.1:80";
  const b = "10.0.0.2:80";
  const c = "10.0.0.3:80";

  const following = async (t: TestContext, ...addresses: string[]) => {
    const harness = await start(t);
    harness.set(addresses);
    const followed = new Followed(t, harness.open);
    followed.follower.start();
    await followed.untilShown(...addresses);
    return { harness, followed };
  };

  test(`${name}: instances come, stay and go as the source says`, async (t) => {
    const { harness, followed } = await following(t, a, b);
    harness.set([a, b, c]);
    await followed.untilShown(a, b, c);
    harness.set([b, c]);
    await followed.untilShown(b, c);
    assert.equal(followed.follower.problem, undefined);
    assert.deepEqual(followed.told, [
      [a, b],
      [a, b, c],
      [b, c],
    ]);
  });

  test(`${name}: the same answer again is not told again, however its parts are ordered`, async (t) => {
    const { harness, followed } = await following(t, a, b);
    for (const order of [
      [b, a],
      [a, b],
      [b, a],
    ]) {
      const before = harness.requests();
      harness.set(order);
      await followed.until(() => harness.requests() > before, "another request", 1_000);
    }
    assert.deepEqual(followed.told, [[a, b]]);
  });

  test(`${name}: an answer without any instance changes nothing unless it stays`, async (t) => {
    const { harness, followed } = await following(t, a);
    harness.set([]);
    await followed.untilShown(`${a} held`);
    assert.match(followed.follower.problem ?? "", /names no instance any more/);
    harness.set([a]);
    await followed.untilShown(a);
    assert.equal(followed.follower.problem, undefined);

    harness.set([]);
    await followed.untilShown(`${a} held`);
    const atMs = followed.clock.now();
    await followed.untilShown();
    const keptMs = followed.clock.now() - atMs;
    assert.ok(keptMs >= (harness.emptyKeptMs ?? 2_000) - 200, `it was kept for ${keptMs} ms`);
  });

  test(`${name}: when most are gone they stay for a second look, beside those that are new`, async (t) => {
    const { harness, followed } = await following(t, a, b);
    harness.set([c]);
    await followed.untilShown(`${a} held`, `${b} held`, c);
    await followed.untilShown(c);
  });

  test(`${name}: a source that has no instance from the start has none`, async (t) => {
    const { followed } = await following(t);
    assert.deepEqual(followed.told, [[]]);
  });

  for (const failure of failures) {
    test(`${name}: ${failure} changes nothing, is told, and is over when it is over`, async (t) => {
      const { harness, followed } = await following(t, a, b);
      harness.fail(failure);
      await followed.until(() => followed.follower.failing, "the failure to be noticed", 1_000);
      const before = harness.requests();
      await followed.pass(120_000);
      assert.deepEqual(followed.shown(), [a, b]);
      // It asks again, and less and less often.
      const asked = harness.requests() - before;
      assert.ok(asked >= 2 && asked <= 60, `${asked} requests in two minutes`);
      harness.set([b, c]);
      harness.fail(undefined);
      await followed.untilShown(b, c);
      await followed.until(() => !followed.follower.failing, "it to be well");
      assert.equal(followed.follower.problem, undefined);
    });

    test(`${name}: one that begins with ${failure} is asked until it answers`, async (t) => {
      const harness = await start(t);
      harness.fail(failure);
      harness.set([a]);
      const followed = new Followed(t, harness.open);
      followed.follower.start();
      await followed.until(() => followed.follower.failing, "the failure to be noticed");
      assert.deepEqual([followed.follower.instances, followed.follower.answered], [undefined, false]);
      harness.fail(undefined);
      await followed.untilShown(a);
    });
  }

  test(`${name}: nothing is asked or told after its end`, async (t) => {
    const { harness, followed } = await following(t, a);
    followed.follower.stop();
    await turns();
    const before = harness.requests();
    harness.set([b]);
    await followed.pass(60_000);
    assert.equal(harness.requests(), before);
    assert.deepEqual(followed.shown(), [a]);
    assert.equal(followed.clock.pending, 0);
  });
}
