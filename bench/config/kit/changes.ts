import { setTimeout as pause } from "node:timers/promises";
import type { Cell } from "../../kit/results.ts";
import { median, quantile } from "../../kit/statistics.ts";
import type { Watchers } from "./watchers.ts";

/** Times of changes, each until all workers answered with it. */
export interface Times {
  /** From the return of the write; 0 where the answer was there before. */
  readonly afterReturnMs: number[];
  /** From the beginning of the write. */
  readonly afterStartMs: number[];
  /** Changes that were not live in time. */
  lost: number;
}

export function noTimes(): Times {
  return { afterReturnMs: [], afterStartMs: [], lost: 0 };
}

/** Between two changes: what one leaves to be done is not measured with the next. */
const apartMs = 25;

let made = 0;

/** Makes changes one after the other, each when all workers were seen to answer a path with the one before. */
export async function makeChanges(
  count: number,
  watchers: Watchers,
  path: string,
  write: (body: string) => Promise<void>,
  times: Times,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    const body = `change ${++made}`;
    const startMs = performance.now();
    // Asked from before the write: it may be live before the write has returned.
    const [seenMs, returnedMs] = await Promise.all([
      watchers.until(path, body),
      write(body).then(() => performance.now()),
    ]);
    if (seenMs === undefined) times.lost++;
    else {
      times.afterReturnMs.push(Math.max(0, seenMs - returnedMs));
      times.afterStartMs.push(seenMs - startMs);
    }
    await pause(apartMs);
  }
}

export const timeColumns = ["changes", "p50 ms", "p99 ms", "longest ms", "from its start, p50", "p99"];

export function timeCells({ afterReturnMs, afterStartMs }: Times): Cell[] {
  return [
    afterReturnMs.length,
    median(afterReturnMs),
    quantile(afterReturnMs, 0.99),
    Math.max(...afterReturnMs),
    median(afterStartMs),
    quantile(afterStartMs, 0.99),
  ];
}
