import { setTimeout as pause } from "node:timers/promises";
import { startWrk } from "../../kit/wrk.ts";
import type { Load, LoadResult } from "../../kit/wrk.ts";

/** About 1,500 to 2,000 requests a second: traffic that leaves the machine room for what is measured beside it. */
export const moderate: Pick<Load, "connections" | "pauseMs"> = { connections: 16, pauseMs: 8 };
/** As many as 16 connections bring; takes what there is of the machine. */
export const saturating: Pick<Load, "connections" | "pauseMs"> = { connections: 16 };

/** How long a load runs before anything beside it is measured. */
const settleMs = 1_000;

/** Runs something beside a load; without a load, by itself. */
export async function beside<T>(
  port: number,
  load: Omit<Load, "seconds"> | undefined,
  action: () => Promise<T>,
): Promise<{ readonly value: T; readonly load: LoadResult | undefined }> {
  if (load === undefined) return { value: await action(), load: undefined };
  const running = await startWrk(port, load);
  let result: LoadResult | undefined;
  try {
    await pause(settleMs);
    return { value: await action(), load: (result = await running.stop()) };
  } finally {
    if (result === undefined) await running.stop();
  }
}

export function failuresOf(load: LoadResult | undefined): number {
  return load === undefined ? 0 : load.failedStatus + load.socketErrors;
}
