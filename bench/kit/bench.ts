import { startTarget } from "./targets.ts";
import type { TargetName } from "./targets.ts";
import type { ScenarioResult } from "./results.ts";
import type { Running } from "./process.ts";
import type { Upstream } from "./upstream.ts";

/** What every scenario is given. */
export interface Bench {
  readonly rounds: number;
  readonly secondsPerRound: number;
  /** Fewer connections and smaller bodies, to see that everything runs. */
  readonly quick: boolean;
  readonly targets: readonly TargetName[];
  readonly upstream: Upstream;
  /** For configuration and data; removed at the end. */
  readonly dir: string;
  /** Programs that are not on this machine: `strace`, say. */
  readonly missing: ReadonlySet<string>;
  /** Milliseconds since 1970 at the start. */
  readonly wallMs: number;
  /** Tells whoever waits what is going on. */
  say(text: string): void;
}

/** One thing that can be measured by itself: `--only <name>`. */
export interface Scenario {
  readonly name: string;
  run(bench: Bench): Promise<ScenarioResult>;
}

export interface Started {
  readonly running: readonly Running[];
  /** One sentence for each that did not start. */
  readonly notes: readonly string[];
}

/** Starts the chosen targets; one that cannot start is a note, not the end of the others. */
export async function startTargets(
  bench: Bench,
  stack: AsyncDisposableStack,
  options: { readonly among?: readonly TargetName[]; readonly sink?: boolean } = {},
): Promise<Started> {
  const running: Running[] = [];
  const notes: string[] = [];
  const upstreamPort = options.sink === true ? bench.upstream.sinkPort : bench.upstream.port;
  for (const name of bench.targets) {
    if (options.among !== undefined && !options.among.includes(name)) continue;
    if (bench.missing.has(name)) {
      notes.push(`${name} did not run: it is not installed`);
      continue;
    }
    try {
      running.push(stack.use(await startTarget(name, upstreamPort, bench.dir)));
    } catch (error) {
      notes.push(`${name} did not run: ${oneLine(error)}`);
    }
  }
  return { running, notes };
}

/** The first line of an error's message. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0]?.slice(0, 200) ?? "";
}
