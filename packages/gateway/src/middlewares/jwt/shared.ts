import type { Clock } from "../../core/clock.ts";

// By clock, of which there is one a worker: state survives a change of the snapshot, and tests do not share theirs.
const pools = new WeakMap<Clock, Map<string, { readonly value: object; users: number }>>();

/**
 * State that several middlewares of this worker share and that outlives each of them: made for the first user of a key,
 * dropped when the last one releases it. A new snapshot is built before the old one ends, so its state carries over.
 */
export function acquireShared<T extends object>(
  clock: Clock,
  key: string,
  make: () => T,
): { value: T; release: () => void } {
  let pool = pools.get(clock);
  if (pool === undefined) pools.set(clock, (pool = new Map()));
  const entry = pool.get(key) ?? { value: make(), users: 0 };
  pool.set(key, entry);
  entry.users++;
  let held = true;
  return {
    value: entry.value as T, // the key names the kind of value: each caller has its own prefix
    release: () => {
      if (!held) return;
      held = false;
      if (--entry.users === 0) pool.delete(key);
    },
  };
}
