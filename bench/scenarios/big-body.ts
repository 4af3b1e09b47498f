import { download, upload } from "../clients/transfer.ts";
import { oneLine, startTargets } from "../kit/bench.ts";
import { peakResidentBytes, resetPeak } from "../kit/proc.ts";
import { median } from "../kit/statistics.ts";
import { fileSizes } from "../kit/upstream.ts";
import type { Transfer } from "../clients/transfer.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import type { Running } from "../kit/process.ts";
import type { Cell, Check, ScenarioResult } from "../kit/results.ts";

/** One body of 1 GiB each way: memory must not grow with it, and the rate is set beside the other proxies'. */
export const bigBodyScenario: Scenario = { name: "big-body", run };

type Direction = "down" | "up";

interface Sample {
  readonly mbPerSecond: number;
  readonly cpuMs: number;
  readonly grownMb: number;
}

async function run(bench: Bench): Promise<ScenarioResult> {
  const file = bench.quick ? "1m" : "1g";
  const rounds = Math.min(bench.rounds, 3);
  const samples = new Map<string, Sample[]>();
  const notes: string[] = [];
  // The file's pages are made at its first reading: whoever came first would wait for that.
  await download(bench.upstream.port, `/files/${file}`);
  for (const direction of ["down", "up"] as const) {
    await using stack = new AsyncDisposableStack();
    const started = await startTargets(bench, stack, { sink: direction === "up" });
    for (const note of started.notes) if (!notes.includes(note)) notes.push(note);
    for (const target of started.running) await transfer(target, direction, "1m").catch(() => undefined);
    for (let round = 0; round < rounds; round++) {
      for (const target of started.running) {
        const key = `${target.name}, ${direction}`;
        try {
          const sample = await measure(target, direction, file);
          samples.set(key, [...(samples.get(key) ?? []), sample]);
        } catch (error) {
          notes.push(`${key}: ${oneLine(error)}`);
        }
      }
    }
  }
  const title = `One body of ${bench.quick ? "1 MiB" : "1 GiB"} through each proxy, down and up`;
  const columns = ["", "MB/s, best", "median", "CPU ms", "MB grown at most"];
  const checks = (["down", "up"] as const).flatMap((direction) => checksOf(samples, direction));
  return {
    name: "big-body",
    title,
    columns,
    rows: rowsOf(samples),
    checks,
    notes,
    rounds: Object.fromEntries(samples),
  };
}

async function measure(target: Running, direction: Direction, file: keyof typeof fileSizes): Promise<Sample> {
  const pids = target.pids();
  for (const pid of pids) resetPeak(pid);
  const peak = (): number => pids.reduce((sum, pid) => sum + peakResidentBytes(pid), 0);
  const beforeBytes = target.residentBytes();
  const beforeUs = target.cpuUs();
  const { bytes, seconds } = await transfer(target, direction, file);
  return {
    mbPerSecond: bytes / seconds / 1e6,
    cpuMs: (target.cpuUs() - beforeUs) / 1000,
    grownMb: Math.max(0, (peak() - beforeBytes) / 1e6),
  };
}

async function transfer(target: Running, direction: Direction, file: keyof typeof fileSizes): Promise<Transfer> {
  if (direction === "down") return download(target.port, `/files/${file}`);
  return upload(target.port, "/upload", fileSizes[file]);
}

function rowsOf(samples: ReadonlyMap<string, readonly Sample[]>): Cell[][] {
  return [...samples].map(([name, of]) => [
    name,
    Math.max(...of.map((each) => each.mbPerSecond)),
    median(of.map((each) => each.mbPerSecond)),
    Math.min(...of.map((each) => each.cpuMs)),
    Math.max(...of.map((each) => each.grownMb)),
  ]);
}

function checksOf(samples: ReadonlyMap<string, readonly Sample[]>, direction: Direction): Check[] {
  const ours = samples.get(`headgate, ${direction}`);
  if (ours === undefined) return [];
  const value = Math.max(...ours.map((each) => each.grownMb));
  const checks: Check[] = [{ what: `Memory growth, ${direction}`, value, bound: "at most", limit: 64, unit: "MB" }];
  const nginx = samples.get(`nginx, ${direction}`);
  if (nginx !== undefined) {
    const best = (of: readonly Sample[]): number => Math.max(...of.map((each) => each.mbPerSecond));
    const what = `Rate against nginx's, ${direction}`;
    checks.push({ what, value: best(ours) / best(nginx), bound: "at least", limit: 0.5, unit: "×" });
  }
  return checks;
}
