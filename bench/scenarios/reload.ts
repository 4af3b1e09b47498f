import { mkdir, readFile, readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { oneLine } from "../kit/bench.ts";
import { headgateDocument } from "../kit/documents.ts";
import { median } from "../kit/statistics.ts";
import { startHeadgate } from "../kit/targets.ts";
import { runWrk } from "../kit/wrk.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import type { RunningHeadgate } from "../kit/targets.ts";
import type { Cell, Check, ScenarioResult } from "../kit/results.ts";
import type { LoadResult } from "../kit/wrk.ts";

/** One route of 10,000 changes in the file every second while all of them are under load. */
export const reloadScenario: Scenario = { name: "reload", run };

const title = "One route of 10,000 changed in the file every second, 64 connections";
const routes = 10_000;
const changeEveryMs = 1_000;
const visibleTimeoutMs = 10_000;
const loopMonitor = new URL("../targets/loop-delay.ts", import.meta.url).href;

/** Around the moment a change was first seen live: the flip is a little before it, its echo a little behind. */
const windowBeforeMs = 400;
const windowAfterMs = 200;

/** The longest delay of the worker's event loop in the tenth of a second before `atMs`, milliseconds since 1970. */
interface Delay {
  readonly atMs: number;
  readonly delayMs: number;
}

interface Phase extends LoadResult {
  readonly delays: readonly Delay[];
}

interface Changes {
  /** From the file's rename until a request saw the new answer. */
  readonly visibleMs: readonly number[];
  /** When that was, milliseconds since 1970. */
  readonly visibleAtMs: readonly number[];
  readonly lost: number;
}

async function run(bench: Bench): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack();
  const loopDir = join(bench.dir, "loop");
  await mkdir(loopDir, { recursive: true });
  let gateway: RunningHeadgate;
  try {
    const document = headgateDocument({ upstreamPort: bench.upstream.port, routes, revision: "revision 0" });
    const env = { NODE_OPTIONS: `--import=${loopMonitor}`, BENCH_LOOP_DIR: loopDir };
    gateway = stack.use(await startHeadgate("reload", document, bench.dir, env));
  } catch (error) {
    return { name: "reload", title, columns: [], rows: [], checks: [], notes: [`headgate: ${oneLine(error)}`] };
  }
  const seconds = bench.quick ? 3 : Math.max(20, bench.rounds * bench.secondsPerRound);
  await load(gateway, bench.secondsPerRound, loopDir);
  const still = await load(gateway, seconds, loopDir);
  const stop = new AbortController();
  const changing = change(gateway, stop.signal);
  const busy = await load(gateway, seconds, loopDir).finally(() => stop.abort());
  const changes = await changing;
  const notes = [
    "Loop delays are the worker's, in 0.6 s around each change, measured inside it; they hold the waits for a core too.",
    ...(await applyTime(gateway)),
  ];
  if (changes.lost > 0) notes.push(`${changes.lost} changes were not live within ${visibleTimeoutMs / 1000} s.`);
  const details = { still, busy, changes };
  return {
    name: "reload",
    title,
    ...table(still, busy, changes),
    checks: checksOf(still, busy, changes),
    notes,
    rounds: details,
  };
}

function table(still: Phase, busy: Phase, changes: Changes): { columns: string[]; rows: Cell[][] } {
  const row = (name: string, phase: Phase, delaysMs: readonly number[]): Cell[] => [
    name,
    Math.round(phase.requests / phase.seconds),
    phase.p50Us / 1000,
    phase.p99Us / 1000,
    phase.maxUs / 1000,
    phase.failedStatus + phase.socketErrors,
    median(delaysMs),
    Math.max(...delaysMs),
  ];
  const columns = ["", "requests/s", "p50 ms", "p99 ms", "max ms", "failed", "loop delay ms, median", "longest"];
  const visible = [median(changes.visibleMs), Math.max(...changes.visibleMs)];
  const cells: Cell[] = visible.map((ms) => (Number.isFinite(ms) ? Math.round(ms) : "-"));
  const applied = `${changes.visibleMs.length} changes, live after ${cells[0]} ms (median), ${cells[1]} ms (longest)`;
  return {
    columns,
    rows: [row("no change", still, anyWindows(still)), row(applied, busy, changeWindows(busy, changes))],
  };
}

function checksOf(still: Phase, busy: Phase, changes: Changes): Check[] {
  const failed = busy.failedStatus + busy.socketErrors;
  // The difference, because a machine with two cores for load, proxy and upstream delays the loop without any change.
  const added = Math.max(0, median(changeWindows(busy, changes)) - median(anyWindows(still)));
  return [
    { what: "Failed requests while routes change", value: failed, bound: "at most", limit: 0, unit: "" },
    { what: "Block of a worker that a change adds", value: added, bound: "at most", limit: 5, unit: "ms" },
  ];
}

/** The longest delay around each change. */
function changeWindows({ delays }: Phase, { visibleAtMs }: Changes): number[] {
  return visibleAtMs.flatMap((atMs) => longestBetween(delays, atMs - windowBeforeMs, atMs + windowAfterMs));
}

/** The longest delay in each stretch of the same length. */
function anyWindows({ delays }: Phase): number[] {
  const length = windowBeforeMs + windowAfterMs;
  const from = delays[0]?.atMs ?? 0;
  const until = delays.at(-1)?.atMs ?? 0;
  const found: number[] = [];
  for (let atMs = from; atMs + length <= until; atMs += length) {
    found.push(...longestBetween(delays, atMs, atMs + length));
  }
  return found;
}

function longestBetween(delays: readonly Delay[], fromMs: number, toMs: number): number[] {
  const within = delays.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
  return within.length === 0 ? [] : [Math.max(...within.map(({ delayMs }) => delayMs))];
}

async function load(gateway: RunningHeadgate, seconds: number, loopDir: string): Promise<Phase> {
  const fromMs = Date.now();
  const result = await runWrk(gateway.port, { path: "/", connections: 64, seconds, routes });
  return { ...result, delays: await readDelays(loopDir, fromMs, fromMs + seconds * 1000) };
}

async function readDelays(loopDir: string, fromMs: number, toMs: number): Promise<Delay[]> {
  const delays: Delay[] = [];
  for (const name of await readdir(loopDir)) {
    if (!name.startsWith("worker-")) continue;
    for (const line of (await readFile(join(loopDir, name), "utf8")).split("\n")) {
      const [atMs, delayMs] = line.split(" ").map(Number);
      if (atMs === undefined || delayMs === undefined || atMs < fromMs || atMs > toMs) continue;
      delays.push({ atMs, delayMs });
    }
  }
  return delays;
}

async function change(gateway: RunningHeadgate, signal: AbortSignal): Promise<Changes> {
  const original = await readFile(gateway.document, "utf8");
  const visibleMs: number[] = [];
  const visibleAtMs: number[] = [];
  let lost = 0;
  for (let revision = 1; !signal.aborted; revision++) {
    const nextMs = performance.now() + changeEveryMs;
    const temporary = `${gateway.document}.next`;
    await writeFile(temporary, original.replace('"revision 0"', `"revision ${revision}"`));
    await rename(temporary, gateway.document);
    const waited = await untilVisible(gateway.port, `revision ${revision}`);
    if (waited === undefined) lost++;
    else {
      visibleMs.push(waited);
      visibleAtMs.push(Date.now());
    }
    await pause(Math.max(0, nextMs - performance.now()));
  }
  return { visibleMs, visibleAtMs, lost };
}

async function untilVisible(port: number, text: string): Promise<number | undefined> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < visibleTimeoutMs) {
    const response = await fetch(`http://127.0.0.1:${port}/revision`);
    if ((await response.text()) === text) return performance.now() - startedMs;
    await pause(10);
  }
  return undefined;
}

async function applyTime(gateway: RunningHeadgate): Promise<string[]> {
  const page = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`)).text();
  const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)`, "m").exec(page)?.[1]);
  const mean = value("headgate_config_apply_seconds_sum") / value("headgate_config_apply_seconds_count");
  return Number.isNaN(mean) ? [] : [`headgate_config_apply_seconds: ${(mean * 1000).toFixed(0)} ms on average.`];
}
