import { holds } from "./results.ts";
import { cellText, describe, renderMarkdown } from "./table.ts";
import type { Cell, KeptScenario, Results } from "./results.ts";

/** Which figures: of `npm run bench`, or of `npm run bench:config`. */
export type BlockName = "bench" | "bench-config";

/** Puts `block` between the two markers of its name, or returns undefined where they are not there in that order. */
export function fillBlock(document: string, block: string, name: BlockName = "bench"): string | undefined {
  const begin = `<!-- ${name}:begin -->`;
  const end = `<!-- ${name}:end -->`;
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) return undefined;
  return `${document.slice(0, from + begin.length)}\n\n${block.trim()}\n\n${document.slice(to)}`;
}

/** The README's figures: small answers beside the other proxies, and every check with its outcome. */
export function summary(results: Results): string {
  const small = results.scenarios.find((scenario) => scenario.name === "small-64");
  const parts: string[] = [];
  if (small !== undefined) {
    // Target, CPU best, ratio, requests/s, p99: the columns of kit/rounds.ts that one glance needs.
    const shown = [0, 1, 3, 4, 6];
    const line = (cells: readonly Cell[]): string => `| ${shown.map((at) => cellText(cells[at] ?? "")).join(" | ")} |`;
    const rule = `| --- |${" --: |".repeat(shown.length - 1)}`;
    parts.push(`${small.title}, one worker each:`, [line(small.columns), rule, ...small.rows.map(line)].join("\n"));
  }
  const lost = lostTable(results);
  if (lost !== undefined) parts.push("Requests lost while one of five instances:", lost);
  const checks = results.scenarios.flatMap((scenario) => scenario.checks);
  parts.push(checks.map((check) => `- ${describe(check)}: ${holds(check) ? "met" : "**not met**"}`).join("\n"));
  parts.push(machineLine(results));
  return parts.join("\n\n");
}

/** One row for each way to fail, one column for each proxy: the share of requests that failed. */
function lostTable({ scenarios }: Results): string | undefined {
  const bad = scenarios.filter(({ columns }) => columns[lostColumn] === "failed %");
  const names = [...new Set(bad.flatMap(({ rows }) => rows.map(([name]) => cellText(name ?? ""))))];
  if (bad.length === 0) return undefined;
  const rows = bad.map(({ title, rows: measured }) => {
    const of = (name: string): Cell => measured.find(([first]) => first === name)?.[lostColumn] ?? "";
    return [title.replace(/^One of five instances /, ""), ...names.map((name) => `${cellText(of(name))} %`)];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(["", ...names]), `| --- |${" --: |".repeat(names.length)}`, ...rows.map(line)].join("\n");
}

/** Where the scenarios of failing instances have the share that failed. */
const lostColumn = 3;

/** Everything, scenario by scenario. */
export function fullReport(results: Results): string {
  const parts = [machineLine(results)];
  for (const scenario of results.scenarios) {
    parts.push(`### ${scenario.title}`, renderMarkdown(scenario), effort(scenario));
    if (scenario.machine !== undefined) parts.push(machineLine({ machine: scenario.machine }));
  }
  return parts.join("\n\n");
}

function effort(scenario: KeptScenario): string {
  const day = scenario.date.slice(0, 10);
  const rounds = scenario.roundsRun === 1 ? "1 round" : `${scenario.roundsRun} rounds`;
  return `\`${scenario.name}\`, ${day}, ${rounds} of ${scenario.secondsPerRound} s.`;
}

function machineLine({ machine }: Pick<Results, "machine">): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const { cpu, cores, memoryGb, kernel } = machine;
  return `Measured on ${cores} cores of ${cpu}, ${memoryGb} GB, Linux ${kernel}; ${versions.join(", ")}.`;
}
