/** Timers, passed in so that tests own them. */
export interface Timers {
  /** Runs `action` once after `delayMs`; returns how to call it off. */
  after(delayMs: number, action: () => void): () => void;
  /** Runs `action` every `intervalMs`; does not keep the process alive. Returns how to stop it. */
  every(intervalMs: number, action: () => void): () => void;
}

export const systemTimers: Timers = {
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
  every(intervalMs, action) {
    const timer = setInterval(action, intervalMs).unref();
    return () => clearInterval(timer);
  },
};

/** Resolves when other work of this thread had its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resolves after `delayMs`, or as soon as `signal` is aborted. */
export function pause(timers: Timers, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = timers.after(delayMs, end);
    signal.addEventListener("abort", end);
  });
}
