import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { oneLine } from "../kit/bench.ts";
import type { Scenario } from "../kit/bench.ts";
import type { Cell, ScenarioResult } from "../kit/results.ts";

/** The parts by themselves, each file in a process of its own: no part is measured with the other's compiled code. */
export const microScenario: Scenario = { name: "micro", run };

const files = ["head", "chain", "router", "balancer", "breaker", "limits"] as const;

async function run(): Promise<ScenarioResult> {
  const rows: Cell[][] = [];
  const notes: string[] = [];
  for (const name of files) {
    const path = fileURLToPath(new URL(`../micro/${name}.ts`, import.meta.url));
    if (!existsSync(path)) continue;
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [path, "--json", "json"], { timeout: 180_000 });
      rows.push(...rowsOf(stdout));
    } catch (error) {
      notes.push(`${name} did not run: ${oneLine(error)}`);
    }
  }
  const columns = ["", "ns, best", "median"];
  return { name: "micro", title: "Parts by themselves, nanoseconds an operation", columns, rows, checks: [], notes };
}

function rowsOf(output: string): Cell[][] {
  const parsed = JSON.parse(output) as MicroReport | RouterReport; // printed by micro/measure.ts or micro/router.ts
  if ("results" in parsed) {
    return parsed.results.map(({ name, bestNs, medianNs }) => [name, Math.round(bestNs), Math.round(medianNs)]);
  }
  const rows = parsed.rows.map(({ table, routes, findNs }): Cell[] => [
    `find one of ${routes.toLocaleString("en")} routes: ${table}`,
    Math.round(findNs),
    "-",
  ]);
  const changes = parsed.rows.map(({ table, routes, changeNs }): Cell[] => [
    `add and drop one beside ${routes.toLocaleString("en")} routes: ${table}`,
    Math.round(changeNs),
    "-",
  ]);
  return [...rows, ...changes];
}

/** What micro/head.ts, micro/chain.ts and micro/breaker.ts print. */
interface MicroReport {
  readonly results: readonly { readonly name: string; readonly bestNs: number; readonly medianNs: number }[];
}

/** What micro/router.ts prints; best of its rounds. */
interface RouterReport {
  readonly rows: readonly {
    readonly table: string;
    readonly routes: number;
    readonly findNs: number;
    readonly changeNs: number;
  }[];
}
