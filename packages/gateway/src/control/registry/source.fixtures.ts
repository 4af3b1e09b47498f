import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { fakeTimers, settled } from "../../../../../tests/kit/fake-timers.ts";
import type { Scope } from "../../../../../tests/kit/scope.ts";
import { silentLog } from "../../core/log.ts";
import { SourceFollower } from "./follow-source.ts";
import type { FoundInstance, Source, SourceParts } from "./source.ts";

/** A follower of a source whose time is the test's, and whose network is real. */
export class Followed {
  readonly clock = new FakeClock();
  readonly follower: SourceFollower;
  /** What was told, as `shown` shows it; with the number of times that it was told. */
  readonly told: string[][] = [];

  constructor(scope: Scope, open: (parts: SourceParts) => Source, initial?: readonly FoundInstance[]) {
    const parts = { clock: this.clock, timers: fakeTimers(this.clock), random: seededRandom(1) };
    this.follower = new SourceFollower({
      ...parts,
      source: open(parts),
      ...(initial === undefined ? {} : { initial }),
      log: silentLog,
      onInstances: () => void this.told.push(this.shown()),
      onState: () => undefined,
    });
    scope.after(() => this.follower.stop());
  }

  /** `address` with what is not ordinary about it: ` DRAINING`, ` *3` (weight), ` @zone`, ` held`. */
  shown(): string[] {
    return (this.follower.instances ?? []).map(
      ({ address, status, weight, zone, heldSinceMs }) =>
        `${address}${status === "UP" ? "" : ` ${status}`}${weight === 1 ? "" : ` *${weight}`}` +
        `${zone === undefined ? "" : ` @${zone}`}${heldSinceMs === undefined ? "" : " held"}`,
    );
  }

  /** Lets time go by, with the network's answers, until it is so. */
  async until(isSo: () => boolean, what: string, stepMs = 100): Promise<void> {
    for (let steps = 0; !isSo(); steps++) {
      if (steps > 5_000)
        throw new Error(
          `waited in vain for ${what}; shown: ${this.shown().join(", ")}; problem: ${this.follower.problem ?? "none"}`,
        );
      await turns();
      if (!isSo()) this.clock.advance(stepMs);
    }
  }

  untilShown(...instances: string[]): Promise<void> {
    const wanted = instances.join();
    return this.until(() => this.follower.answered && this.shown().join() === wanted, wanted);
  }

  untilProblem(pattern: RegExp): Promise<void> {
    return this.until(() => pattern.test(this.follower.problem ?? ""), `a problem ${pattern.source}`);
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.clock.now() + ms;
    await this.until(() => this.clock.now() >= endMs, `${ms} ms`);
    await turns();
  }
}

/** A request to a server of this process and its answer are a few turns. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await settled();
}
