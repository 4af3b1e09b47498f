import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const monitor = new URL("../../targets/loop-blocks.ts", import.meta.url).href;

/** The longest of each in a stretch of time, over threads of one kind. See targets/loop-blocks.ts. */
export interface Blocks {
  /** Without a turn of the event loop, other programs' use of the core included. */
  readonly waitMs: number;
  /** Of such a wait, what the thread itself ran. */
  readonly runMs: number;
  /** One collection of garbage. */
  readonly collectionMs: number;
}

/** Watches the event loops of a gateway that is started with its `env`. */
export interface LoopMonitor {
  readonly env: Readonly<Record<string, string>>;
  /** Of the workers, or of the control thread; times in milliseconds since 1970. */
  longest(threads: "worker" | "control", fromMs: number, toMs: number): Promise<Blocks>;
}

export async function monitorLoops(dir: string, name: string): Promise<LoopMonitor> {
  const loopDir = join(dir, `${name}-loops`);
  await mkdir(loopDir, { recursive: true });
  return {
    env: { NODE_OPTIONS: `--import=${monitor}`, BENCH_LOOP_DIR: loopDir },
    async longest(threads, fromMs, toMs) {
      const all: number[][] = [];
      for (const file of await readdir(loopDir)) {
        if (!file.startsWith(threads)) continue;
        const lines = (await readFile(join(loopDir, file), "utf8")).split("\n").slice(0, -1);
        all.push(...lines.map((line) => line.split(" ").map(Number)));
      }
      const within = all.filter(([atMs = 0]) => atMs >= fromMs && atMs <= toMs);
      const most = (column: number): number => Math.max(0, ...within.map((line) => line[column] ?? 0));
      return { waitMs: most(1), runMs: most(2), collectionMs: most(3) };
    },
  };
}
