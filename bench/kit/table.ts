import { holds } from "./results.ts";
import type { Cell, Check, ScenarioResult } from "./results.ts";

/** A scenario as text for a terminal: title, aligned table, checks, notes. */
export function renderText(result: ScenarioResult): string {
  const lines = ["", `${result.title}  (${result.name})`];
  if (result.rows.length > 0) lines.push(...alignedRows([result.columns, ...result.rows]));
  for (const check of result.checks) lines.push(`  ${holds(check) ? "ok  " : "MISS"} ${describe(check)}`);
  for (const note of result.notes) lines.push(`  note: ${note}`);
  return lines.join("\n");
}

/** The same as Markdown, without the title. Prettier aligns the table. */
export function renderMarkdown(result: ScenarioResult): string {
  const parts: string[] = [];
  if (result.rows.length > 0) {
    const row = (cells: readonly Cell[]): string => `| ${cells.map(cellText).join(" | ")} |`;
    const rule = result.columns.map((_, column) => (column === 0 ? "---" : "--:"));
    parts.push([row(result.columns), row(rule), ...result.rows.map(row)].join("\n"));
  }
  const statements = result.checks.map((check) => `- ${describe(check)}: ${holds(check) ? "met" : "**not met**"}`);
  if (statements.length > 0) parts.push(statements.join("\n"));
  parts.push(...result.notes.map((note) => `_${note}_`));
  return parts.join("\n\n");
}

/** One sentence: what, the figure, the limit. */
export function describe(check: Check): string {
  return `${check.what}: ${cellText(check.value)}${unitText(check)}, ${check.bound} ${check.limit}${unitText(check)} wanted`;
}

function unitText(check: Check): string {
  return check.unit === "" || check.unit === "×" ? check.unit : ` ${check.unit}`;
}

/** Three significant digits below 100, whole numbers above. */
export function cellText(cell: Cell): string {
  if (typeof cell === "string") return cell;
  if (!Number.isFinite(cell)) return "-";
  if (Number.isInteger(cell) || Math.abs(cell) >= 100) return String(Math.round(cell));
  return cell.toFixed(Math.abs(cell) >= 10 ? 1 : 2);
}

function alignedRows(rows: readonly (readonly Cell[])[]): string[] {
  const texts = rows.map((row) => row.map(cellText));
  const widths = (texts[0] ?? []).map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)));
  return texts.map((row) => {
    const cells = row.map((text, column) =>
      column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0),
    );
    return `  ${cells.join("  ")}`;
  });
}
