import type { Timers } from "../../packages/gateway/src/core/timers.ts";
import type { FakeClock } from "./clock.ts";

/** Timers that run when the test moves the clock. */
export function fakeTimers(clock: FakeClock): Timers {
  return {
    after(delayMs, action) {
      const id = clock.setTimeout(action, delayMs);
      return () => clock.clearTimeout(id);
    },
    every(intervalMs, action) {
      const id = clock.setInterval(action, intervalMs);
      return () => clock.clearInterval(id);
    },
  };
}

/** Resolves when everything that waits for nothing but other promises has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Moves the clock in small steps, letting promises run between them: what a timer starts may arm the next timer. */
export async function pass(clock: FakeClock, ms: number, stepMs = 25): Promise<void> {
  await settled();
  for (let left = ms; left > 0; left -= stepMs) {
    clock.advance(Math.min(stepMs, left));
    await settled();
  }
}
