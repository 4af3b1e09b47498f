import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { oneLine } from "../kit/bench.ts";
import type { Scenario } from "../kit/bench.ts";
import type { Cell, ScenarioResult } from "../kit/results.ts";

/** The parts by themselves, each file in a process of its own: no part is measured with the other's compiled code. */
export const microScenario: Scenario = { name: "micro", run };

const files = ["head", "chain", "router"] as const;

async function run(): Promise<ScenarioResult> {
  const rows: Cell[][] = [];
  const notes: string[] = [];
  for (const name of files) {
    const path = fileURLToPath(new URL(`../micro/${name}.ts`, import.meta.url));
    if (!existsSync(path)) continue;
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [path, "--json"], { timeout: 180_000 });
      rows.push(...rowsOf(stdout));
    } catch (error) {
      notes.push(`${name} did not run: ${oneLine(error)}`);
    }
  }
  const columns = ["", "ns, best", "median"];
  return { name: "micro", title: "Parts by themselves, nanoseconds an operation", columns, rows, checks: [], notes };
}

function rowsOf(output: string): Cell[][] {
  const rows: Cell[][] = [];
  for (const line of output.split("\n")) {
    if (!line.startsWith("{")) continue;
    const { results } = JSON.parse(line) as MicroReport; // printed by micro/measure.ts
    for (const { name, bestNs, medianNs } of results) rows.push([name, Math.round(bestNs), Math.round(medianNs)]);
  }
  return rows;
}

interface MicroReport {
  readonly results: readonly { readonly name: string; readonly bestNs: number; readonly medianNs: number }[];
}
