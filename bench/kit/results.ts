import { readFile, writeFile } from "node:fs/promises";
import { format } from "prettier";
import type { Machine } from "./machine.ts";

export type Cell = string | number;

/** A statement about Headgate that this run supports or contradicts. */
export interface Check {
  readonly what: string;
  readonly value: number;
  readonly bound: "at most" | "at least";
  readonly limit: number;
  /** "×", "MB", "" and so on; printed behind both figures. */
  readonly unit: string;
}

/** What one scenario found, in the form it is printed and kept in. */
export interface ScenarioResult {
  /** The name `--only` takes. */
  readonly name: string;
  readonly title: string;
  /** First column: what was measured. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  readonly checks: readonly Check[];
  /** What did not run and why, and what a reader must know. */
  readonly notes: readonly string[];
  /** Every round, for those who want to compute something else. */
  readonly rounds?: unknown;
}

/** A scenario in the file: with the time and the effort of its own run, as `--only` replaces single scenarios. */
export interface KeptScenario extends ScenarioResult {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly roundsRun: number;
  readonly secondsPerRound: number;
  /** Where it ran; absent: on the machine of the results. */
  readonly machine?: Machine;
}

/** `results.json`. */
export interface Results {
  readonly machine: Machine;
  readonly scenarios: readonly KeptScenario[];
}

/** Whether a check came out as wanted. */
export function holds(check: Check): boolean {
  return check.bound === "at most" ? check.value <= check.limit : check.value >= check.limit;
}

/**
 * Puts new scenarios in the place of old ones of the same name. Figures of another machine, or of another version of
 * anything on it, stay with that machine beside them.
 */
export function merge(before: Results | undefined, next: Results): Results {
  if (before === undefined) return next;
  const elsewhere = JSON.stringify(before.machine) !== JSON.stringify(next.machine);
  const previous = elsewhere ? moved(before) : before;
  const fresh = new Map(next.scenarios.map((scenario) => [scenario.name, scenario]));
  const kept = previous.scenarios.map((scenario) => {
    const replacement = fresh.get(scenario.name);
    fresh.delete(scenario.name);
    return replacement ?? scenario;
  });
  return { machine: next.machine, scenarios: [...kept, ...fresh.values()] };
}

function moved({ machine, scenarios }: Results): Results {
  return { machine, scenarios: scenarios.map((scenario) => ({ machine, ...scenario })) };
}

/** Reads a results file; undefined where there is none. Rejects if it is not one. */
export async function readResults(path: string): Promise<Results | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return undefined;
  }
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== "object" || parsed === null || !("machine" in parsed) || !("scenarios" in parsed)) {
    throw new Error(`${path} is not a results file of this benchmark`);
  }
  return parsed as Results; // only writeResults makes these files; the two keys tell them from anything else
}

/** Writes it as Prettier would, so that the repository's format check agrees. */
export async function writeResults(path: string, results: Results): Promise<void> {
  await writeFile(path, await format(JSON.stringify(results), { parser: "json", printWidth: 120 }));
}
