import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { oneLine, startTargets } from "../kit/bench.ts";
import { launch } from "../kit/process.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import type { Running } from "../kit/process.ts";
import type { Cell, Check, ScenarioResult } from "../kit/results.ts";

/** What a keep-alive connection costs that does nothing: memory before and after thousands of them. */
export const idleScenario: Scenario = { name: "idle", run };

const client = fileURLToPath(new URL("../clients/idle.ts", import.meta.url));
const settleMs = 3_000;
const openTimeoutMs = 30_000;

async function run(bench: Bench): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack();
  const count = bench.quick ? 1_000 : 10_000;
  const title = `Memory of ${count.toLocaleString("en")} idle client connections`;
  const { running, notes } = await startTargets(bench, stack);
  const rows: Cell[][] = [];
  const checks: Check[] = [];
  const kept = [...notes];
  for (const target of running) {
    try {
      const { beforeBytes, afterBytes } = await holdConnections(target, count);
      const grownBytes = afterBytes - beforeBytes;
      rows.push([target.name, beforeBytes / 1e6, afterBytes / 1e6, grownBytes / 1e6, grownBytes / count / 1024]);
      if (target.name !== "headgate") continue;
      const what = `Memory of ${count.toLocaleString("en")} idle connections`;
      const limit = 200 * (count / 10_000);
      checks.push({ what, value: grownBytes / 1e6, bound: "at most", limit, unit: "MB" });
    } catch (error) {
      kept.push(`${target.name} did not hold ${count} connections: ${oneLine(error)}`);
    }
  }
  const columns = ["", "MB before", "MB with them", "MB more", "KiB a connection"];
  return { name: "idle", title, columns, rows, checks, notes: kept };
}

async function holdConnections(target: Running, count: number): Promise<{ beforeBytes: number; afterBytes: number }> {
  // One answered request first: what a process allocates once is not a connection's.
  await (await fetch(`http://127.0.0.1:${target.port}/`)).arrayBuffer();
  const beforeBytes = target.residentBytes();
  const command = [process.execPath, client, String(target.port), String(count)] as const;
  await using clients = await launch({ name: "idle clients", command });
  const open = clients.line((line) => (line === `open ${count}` ? true : undefined));
  // A proxy at its own limit leaves the rest of them waiting in the kernel's queue.
  const late = pause(openTimeoutMs, undefined, { ref: false }).then(() => {
    throw new Error(`not all were answered within ${openTimeoutMs / 1000} s`);
  });
  await Promise.race([open, late]);
  await pause(settleMs);
  return { beforeBytes, afterBytes: target.residentBytes() };
}
