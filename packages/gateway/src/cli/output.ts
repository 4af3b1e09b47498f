import { stripVTControlCharacters } from "node:util";
import { stringify } from "yaml";
import { UsageError } from "./settings.ts";

export type Format = "table" | "json" | "yaml";

/** How an answer is shown; `undefined`: for people, as the command sees fit. Throws a UsageError. */
export function formatOf(text: string | undefined): Format | undefined {
  if (text === undefined || text === "table" || text === "json" || text === "yaml") return text;
  throw new UsageError(`"${text}" is not an output format; use -o table, -o json or -o yaml.`);
}

/** A value for programs: one JSON or YAML text with a line break at its end. */
export function written(value: unknown, format: "json" | "yaml"): string {
  return format === "json" ? `${JSON.stringify(value, undefined, 2)}\n` : stringify(value, { lineWidth: 0 });
}

type Colour = (text: string) => string;

export interface Paint {
  readonly good: Colour;
  readonly bad: Colour;
  readonly doubtful: Colour;
  readonly quiet: Colour;
  readonly strong: Colour;
}

/** Colours, or none: on a terminal only, and NO_COLOR (https://no-color.org) switches them off. */
export function paintFor(terminal: boolean, env: Readonly<Record<string, string | undefined>>): Paint {
  const colours = terminal && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  const colour = (code: number): Colour => {
    return colours ? (text) => (text === "" ? text : `\u001b[${code}m${text}\u001b[0m`) : (text) => text;
  };
  return { good: colour(32), bad: colour(31), doubtful: colour(33), quiet: colour(2), strong: colour(1) };
}

/**
 * An answer of the gateway without control characters but line breaks and tabs: it repeats what others wrote, such as
 * the paths of requests, and a terminal obeys escape sequences.
 */
export function printable<T>(value: T): T {
  // The shape stays what it was: only the characters of texts are replaced.
  return clean(value) as T;
}

function clean(value: unknown): unknown {
  if (typeof value === "string") return value.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [clean(key), clean(inner)]));
}

/** Columns under headings; the last one is as wide as it likes. Cells may be coloured. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows].map((row) => row.map((cell) => cell.replace(/\s*\n\s*/g, " ")));
  const widths = headings.map((_, column) =>
    lines.reduce((most, row) => Math.max(most, widthOf(row[column] ?? "")), 0),
  );
  const padded = lines.map((row) =>
    row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - widthOf(cell)),
      )
      .join("  ")
      .trimEnd(),
  );
  return padded.map((line) => `${line}\n`).join("");
}

function widthOf(text: string): number {
  return text.includes("\u001b") ? stripVTControlCharacters(text).length : text.length;
}

/** A line that fits into so many columns; one that is too long loses its colours and its end. */
export function fitting(line: string, columns: number): string {
  if (widthOf(line) <= columns) return line;
  return `${stripVTControlCharacters(line).slice(0, Math.max(0, columns - 1))}…`;
}

/** `1 route`, `2 routes`, `10,000 routes`. */
export function count(amount: number, what: string): string {
  return `${grouped(amount)} ${what}${amount === 1 ? "" : "s"}`;
}

/** `10,000` */
export function grouped(amount: number): string {
  return amount.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** `2026-01-02 03:04:05Z` of an ISO time. */
export function timeText(iso: string): string {
  return iso.replace("T", " ").replace(/\.\d+Z$/, "Z");
}

/** `2h 3m` */
export function spanText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return "0s";
  const shown = parts.slice(first, first + 2).filter(([amount]) => amount > 0);
  return shown.map(([amount, unit]) => `${amount}${unit}`).join(" ");
}
