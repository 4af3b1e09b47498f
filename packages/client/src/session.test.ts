import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../tests/kit/clock.ts";
import { pass, settled } from "../../../tests/kit/fake-timers.ts";
import { RegistryError, type Announcement, type Registry, type RegistryFailure } from "./registry.ts";
import { Session } from "./session.ts";
import { fakeTime } from "./time.fixtures.ts";

type Call = keyof Registry;

/** A registry that notes its calls and fails as told. */
class ScriptedRegistry implements Registry {
  readonly calls: string[] = [];
  failure: RegistryFailure | undefined;
  /** How many calls fail before `failure` is over. */
  failures = Infinity;
  hanging: Promise<void> | undefined;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  register = async (announcement: Announcement): Promise<number> => {
    await this.#note("register", announcement.status);
    return 9_000;
  };
  announce = (announcement: Announcement): Promise<void> => this.#note("announce", announcement.status);
  keepAlive = (): Promise<void> => this.#note("keepAlive");
  report = (report: string): Promise<void> => this.#note("report", report);
  withdraw = (): Promise<void> => this.#note("withdraw");

  /** The calls since the last look. */
  take(): string[] {
    return this.calls.splice(0);
  }

  async #note(call: Call, ...rest: string[]): Promise<void> {
    this.calls.push([call, ...rest, `@${this.#clock.now()}`].join(" "));
    await this.hanging;
    if (this.failure !== undefined && this.failures-- > 0)
      throw new RegistryError(this.failure, `it is ${this.failure}`);
  }
}

function setUp() {
  const clock = new FakeClock(0);
  const registry = new ScriptedRegistry(clock);
  const said: string[] = [];
  const session = new Session({
    registry,
    announcement: { status: "UP" },
    ttlMs: 9_000,
    time: fakeTime(clock),
    log: (level, message) => said.push(`${level}: ${message}`),
    name: "users at a:1",
  });
  const states: string[] = [];
  session.onState((state) => states.push(state));
  return { clock, registry, session, said, states };
}

test("a registration is renewed every third of its lease and leaves no timer behind when it ends", async () => {
  const { clock, registry, session, states, said } = setUp();
  await session.start();
  await pass(clock, 9_500, 500);
  await session.end();
  assert.deepEqual(registry.take(), [
    "register UP @0",
    "keepAlive @3000",
    "keepAlive @6000",
    "keepAlive @9000",
    "withdraw @9500",
  ]);
  assert.deepEqual(states, ["registered", "ended"]);
  assert.deepEqual(said, ["info: users at a:1 is registered", "info: users at a:1 is deregistered"]);
  assert.equal(clock.pending, 0);
});

test("a lost lease is taken out anew at once", async () => {
  const { clock, registry, session, states } = setUp();
  await session.start();
  registry.failures = 1;
  registry.failure = "lost";
  clock.advance(3_000);
  await settled();
  assert.deepEqual(registry.take(), ["register UP @0", "keepAlive @3000", "register UP @3000"]);
  assert.deepEqual(states, ["registered", "retrying", "registered"]);
  await session.end();
});

test("an outage shorter than the lease changes no state, a longer one does, and each is told once", async () => {
  const { clock, registry, session, states, said } = setUp();
  await session.start();
  registry.failure = "unreachable";
  await pass(clock, 8_000, 100);
  registry.failure = undefined;
  await pass(clock, 1_000, 100);
  assert.deepEqual(states, ["registered"]);
  assert.match(registry.take().at(-1) ?? "", /^keepAlive/);
  said.length = 0;
  registry.failure = "unreachable";
  await pass(clock, 60_000, 100);
  assert.deepEqual(states, ["registered", "retrying"]);
  const tries = registry.take();
  assert.ok(tries.length > 60 && tries.length < 400, `${tries.length} tries in a minute`);
  registry.failure = undefined;
  await pass(clock, 1_000, 100);
  assert.deepEqual(states, ["registered", "retrying", "registered"]);
  assert.deepEqual(said, [
    "warn: users at a:1 is not sure to be registered, trying again: it is unreachable",
    "info: users at a:1 is registered again",
  ]);
  await session.end();
});

test("a registry that is away at the start is tried until it is there", async () => {
  const { clock, registry, session } = setUp();
  registry.failure = "refused";
  await session.start();
  assert.equal(session.state, "retrying");
  await pass(clock, 5_000, 100);
  registry.failure = undefined;
  await pass(clock, 1_000, 100);
  assert.equal(session.state, "registered");
  await session.end();
});

test("draining is announced under the same lease, which is kept, and lasts until the end", async () => {
  const { clock, registry, session, states } = setUp();
  await session.start();
  await session.announceDraining();
  await pass(clock, 3_000, 500);
  await session.end();
  assert.deepEqual(registry.take(), ["register UP @0", "announce DRAINING @0", "keepAlive @3000", "withdraw @3000"]);
  assert.deepEqual(states, ["registered", "draining", "ended"]);
});

test("a lease that is lost while draining is taken out again as draining", async () => {
  const { clock, registry, session, states } = setUp();
  await session.start();
  await session.announceDraining();
  registry.failure = "unreachable";
  await pass(clock, 12_000, 100);
  registry.failure = undefined;
  registry.take();
  await pass(clock, 1_000, 100);
  assert.match(registry.take()[0] ?? "", /^register DRAINING/);
  assert.deepEqual(states, ["registered", "draining"]);
  await session.end();
});

test("the end waits for the step under way, so that nothing is written behind the withdrawal", async () => {
  const { registry, session } = setUp();
  await session.start();
  const { promise, resolve } = Promise.withResolvers<void>();
  registry.hanging = promise;
  void session.announceDraining();
  await settled();
  const ended = session.end();
  await settled();
  assert.deepEqual(registry.take(), ["register UP @0", "announce DRAINING @0"]);
  resolve();
  await ended;
  assert.deepEqual(registry.take(), ["withdraw @0"]);
});

test("an end before the first answer withdraws what that answer brings", async () => {
  const { registry, session } = setUp();
  const { promise, resolve } = Promise.withResolvers<void>();
  registry.hanging = promise;
  const started = session.start();
  const ended = session.end();
  await settled();
  assert.deepEqual(registry.take(), ["register UP @0"]);
  resolve();
  await Promise.all([started, ended]);
  assert.deepEqual(registry.take(), ["withdraw @0"]);
  assert.equal(session.state, "ended");
});

test("a withdrawal that fails is told and does not throw", async () => {
  const { registry, session, said } = setUp();
  await session.start();
  registry.failure = "unreachable";
  await session.end();
  assert.match(said.at(-1) ?? "", /stays until its lease runs out: it is unreachable/);
});

test("the newest report is sent, and one that fails harms nothing and is told once", async () => {
  const { clock, registry, session, said, states } = setUp();
  await session.start();
  session.report("1");
  session.report("2");
  await settled();
  assert.deepEqual(registry.take(), ["register UP @0", "report 2 @0"]);
  said.length = 0;
  registry.failure = "refused";
  for (const report of ["3", "4"]) {
    session.report(report);
    await settled();
  }
  registry.failure = undefined;
  await pass(clock, 3_000, 500);
  assert.deepEqual(registry.take(), ["report 3 @0", "report 4 @0", "keepAlive @3000"]);
  assert.deepEqual(said, ["warn: users at a:1 could not report its health: it is refused"]);
  assert.deepEqual(states, ["registered"]);
  await session.end();
});

test("a listener and a log that throw do no harm", async () => {
  const clock = new FakeClock(0);
  const registry = new ScriptedRegistry(clock);
  const fail = (): never => {
    throw new Error("listener");
  };
  const announcement = { status: "UP" } as const;
  const session = new Session({ registry, announcement, ttlMs: 9_000, time: fakeTime(clock), log: fail, name: "x" });
  session.onState(fail);
  await session.start();
  await pass(clock, 3_000, 500);
  assert.deepEqual(registry.take(), ["register UP @0", "keepAlive @3000"]);
  await session.end();
});
