import { seededRandom, type FakeClock } from "../../../tests/kit/clock.ts";
import type { Time } from "./core/time.ts";

/** A fake clock as the client takes time. */
export function fakeTime(clock: FakeClock): Time {
  return {
    now: clock.now,
    wall: clock.wall,
    random: seededRandom(1),
    after(delayMs, action) {
      const id = clock.setTimeout(action, delayMs);
      return () => clock.clearTimeout(id);
    },
    every(intervalMs, action) {
      const id = clock.setInterval(action, intervalMs);
      return () => clock.clearInterval(id);
    },
    pause: (delayMs) => new Promise((resolve) => void clock.setTimeout(resolve, delayMs)),
  };
}
