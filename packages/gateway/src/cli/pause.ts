import type { Timers } from "../core/timers.ts";

/** Resolves after the time, or when `stop` is told. */
export function pause(timers: Timers, delayMs: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) return resolve();
    const cancel = timers.after(delayMs, () => {
      stop.removeEventListener("abort", end);
      resolve();
    });
    const end = (): void => {
      cancel();
      resolve();
    };
    stop.addEventListener("abort", end, { once: true });
  });
}
