import os from "node:os";
import { setTimeout as pause } from "node:timers/promises";

const lookMs = 2_000;

/** How much of the machine is in use while nothing of the benchmark runs: cores, and of how many. */
export async function coresInUse(): Promise<{ readonly used: number; readonly cores: number }> {
  const before = busyMs();
  const fromMs = performance.now();
  await pause(lookMs);
  const used = (busyMs() - before) / (performance.now() - fromMs);
  return { used, cores: os.cpus().length };
}

function busyMs(): number {
  return os.cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}
