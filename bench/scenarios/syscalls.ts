import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startTargets } from "../kit/bench.ts";
import { parseStrace } from "../kit/strace.ts";
import { runWrk } from "../kit/wrk.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import type { Running } from "../kit/process.ts";
import type { Cell, Check, ScenarioResult } from "../kit/results.ts";

/** System calls a proxied request in steady state, counted by strace from before the load until behind it. */
export const syscallsScenario: Scenario = { name: "syscalls", run };

const title = "System calls a request, small answers, 64 connections";
const columns = ["", "all", "which"];
const shownMin = 0.005;

async function run(bench: Bench): Promise<ScenarioResult> {
  if (bench.missing.has("strace")) {
    return { name: "syscalls", title, columns, rows: [], checks: [], notes: ["Did not run: strace is not installed."] };
  }
  await using stack = new AsyncDisposableStack();
  const { running, notes } = await startTargets(bench, stack, { among: ["nginx", "haproxy", "headgate"] });
  const rows: Cell[][] = [];
  const checks: Check[] = [];
  for (const target of running) {
    const perRequest = await countCalls(bench, target);
    const all = [...perRequest.values()].reduce((sum, count) => sum + count, 0);
    const shown = [...perRequest].filter(([, count]) => count >= shownMin);
    rows.push([target.name, all, shown.map(([name, count]) => `${name} ${count.toFixed(2)}`).join(", ")]);
    if (target.name !== "headgate") continue;
    checks.push({ what: "System calls a request", value: all, bound: "at most", limit: 5, unit: "" });
  }
  return { name: "syscalls", title, columns, rows, checks, notes };
}

async function countCalls(bench: Bench, target: Running): Promise<Map<string, number>> {
  const load = { path: "/", connections: 64, seconds: bench.secondsPerRound };
  await runWrk(target.port, load);
  const output = join(bench.dir, `strace-${target.name}`);
  const pids = target.pids().flatMap((pid) => ["-p", String(pid)]);
  const strace = spawn("strace", ["-c", "-f", "-o", output, ...pids], { stdio: ["ignore", "ignore", "pipe"] });
  const gone = once(strace, "exit");
  try {
    // It says so once for each thread. A thread it is late for is missed for the first milliseconds only.
    await Promise.race([once(strace.stderr, "data"), gone]);
    await pause(200);
    const { requests } = await runWrk(target.port, load);
    strace.kill("SIGINT");
    await gone;
    const counts = parseStrace(await readFile(output, "utf8"));
    return new Map([...counts].map(([name, count]) => [name, count / requests]));
  } finally {
    if (strace.exitCode === null && strace.signalCode === null) strace.kill("SIGKILL");
  }
}
