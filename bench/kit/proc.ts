import { readFileSync, readdirSync, writeFileSync } from "node:fs";

/** USER_HZ: Linux shows times to programs in hundredths of a second on every architecture node runs on. */
const microsecondsPerTick = 10_000;

/**
 * User and system time of a process with all its threads, in microseconds; 0 once it is gone.
 * Source: proc_pid_stat(5), fields 14 and 15. The kernel scales them to the exact run time, so a step is 10 ms but the
 * sum does not drift.
 */
export function cpuMicroseconds(pid: number): number {
  const stat = readQuietly(`/proc/${pid}/stat`);
  // The command in brackets may hold spaces and brackets; what follows the last bracket does not.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * microsecondsPerTick;
}

/** Memory the process has in RAM now; 0 once it is gone. */
export function residentBytes(pid: number): number {
  return kibibytes(pid, "VmRSS");
}

/** Most memory it had in RAM since `resetPeak`. */
export function peakResidentBytes(pid: number): number {
  return kibibytes(pid, "VmHWM");
}

/** Makes the current resident size the peak. False where the kernel does not let us; the peak is then since start. */
export function resetPeak(pid: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
    return true;
  } catch {
    return false;
  }
}

/** Processes that `pid` forked, and theirs. */
export function descendants(pid: number): number[] {
  const found: number[] = [];
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return found;
  }
  for (const thread of threads) {
    for (const child of readQuietly(`/proc/${pid}/task/${thread}/children`).split(" ")) {
      if (child !== "") found.push(Number(child), ...descendants(Number(child)));
    }
  }
  return found;
}

function kibibytes(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readQuietly(`/proc/${pid}/status`));
  return Number(match?.[1] ?? 0) * 1024;
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
