import { z } from "zod";

const durationPattern = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/;
const durationParts = /(\d+(?:\.\d+)?)(ms|s|m|h)/g;
const durationUnits: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);
const durationExpected = 'expected a duration such as "250ms", "1.5s", "1m" or "1h"';
/** Ten years: beyond it a duration is a mistake, and sums of a few stay exact. */
const durationMsMax = 10 * 365 * 24 * 3_600_000;

const bytesPattern = /^\d+(?:\.\d+)?(?:B|KB|MB|GB|KiB|MiB|GiB)?$/;
const bytesParts = /^(\d+(?:\.\d+)?)(B|KB|MB|GB|KiB|MiB|GiB)?$/;
const byteUnits: ReadonlyMap<string, number> = new Map([
  ["B", 1],
  ["KB", 1e3],
  ["MB", 1e6],
  ["GB", 1e9],
  ["KiB", 1024],
  ["MiB", 1024 ** 2],
  ["GiB", 1024 ** 3],
]);
const bytesExpected = 'expected a size such as "64KiB", "10MB", "512B" or a number of bytes';

const ratioPattern = /^\d+(?:\.\d+)?%?$/;
const ratioExpected = 'expected a share: a number from 0 to 1, or a percentage such as "20%"';

/** Milliseconds of a text such as "250ms", "1.5s" or "1m30s"; undefined where it is none or exceeds ten years. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 64 || !durationPattern.test(text)) return undefined;
  let ms = 0;
  for (const [, amount = "", unit = ""] of text.matchAll(durationParts)) {
    ms += Number(amount) * (durationUnits.get(unit) ?? 0);
  }
  // 1.1 * 1000 is 1100.0000000000002: the last of sixteen digits is the multiplication's, not the author's.
  ms = Number(ms.toPrecision(15));
  return ms <= durationMsMax ? ms : undefined;
}

/** The shortest text that `parseDuration` reads as these milliseconds (fractions to six decimals). */
export function formatDuration(ms: number): string {
  if (ms !== 0 && ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms !== 0 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  // Only whole milliseconds become seconds: three decimals at most, so that the text stays exact.
  if (ms >= 1000 && Number.isInteger(ms)) return `${ms / 1000}s`;
  // Fixed notation: 1e-6 would not be read back.
  return Number.isInteger(ms) ? `${ms}ms` : `${ms.toFixed(6).replace(/0+$/, "")}ms`;
}

/** Bytes of a text such as "64KiB", "10MB", "512B" or "4096"; undefined where it is none or not a whole number. */
export function parseBytes(text: string): number | undefined {
  const parts = text.length > 64 ? null : bytesParts.exec(text);
  if (parts === null) return undefined;
  const bytes = Number(parts[1]) * (byteUnits.get(parts[2] ?? "B") ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A text that `parseBytes` reads as this many bytes: in the largest unit that divides it. */
export function formatBytes(bytes: number): string {
  for (const unit of ["GiB", "MiB", "KiB", "GB", "MB", "KB"]) {
    const size = byteUnits.get(unit) ?? 1;
    if (bytes !== 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}

/** 0..1 from "20%" or "0.2"; undefined where it is none or outside. */
export function parseRatio(text: string): number | undefined {
  if (text.length > 64 || !ratioPattern.test(text)) return undefined;
  const ratio = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  return ratio <= 1 ? ratio : undefined;
}

export interface DurationRange {
  /** Milliseconds; default 0. */
  readonly minMs?: number;
  /** Milliseconds; default ten years. */
  readonly maxMs?: number;
}

/**
 * A duration in a document, milliseconds inside. A default is given as text with `.prefault("1s")`, or as
 * milliseconds with `.default(1000)`.
 */
export function duration({ minMs = 0, maxMs = durationMsMax }: DurationRange = {}) {
  return z
    .string({ error: durationExpected })
    .regex(durationPattern, durationExpected)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
      const range =
        ms !== undefined && ms < minMs ? `at least ${formatDuration(minMs)}` : `at most ${formatDuration(maxMs)}`;
      context.issues.push({ code: "custom", input: text, message: `must be ${range}` });
      return z.NEVER;
    });
}

/** Longest timeout: timers take 31 bits of milliseconds, a longer one would fire at once. */
export const timeoutMsMax = 24 * 24 * 3_600_000;

/** A duration that ends a wait: at least 1ms, at most 24 days. */
export function timeout() {
  return duration({ minMs: 1, maxMs: timeoutMsMax });
}

export interface BytesRange {
  /** Default 0. */
  readonly min?: number;
  /** Default 2^53 - 1. */
  readonly max?: number;
}

/**
 * A size in a document, bytes inside. A default is given as text with `.prefault("1MiB")`, or as bytes with
 * `.default(1048576)`.
 */
export function bytes({ min = 0, max = Number.MAX_SAFE_INTEGER }: BytesRange = {}) {
  return z
    .union([z.number(), z.string().regex(bytesPattern, bytesExpected)], { error: bytesExpected })
    .transform((value, context) => {
      const size = typeof value === "number" ? value : parseBytes(value);
      if (size === undefined || !Number.isSafeInteger(size) || size < 0) {
        context.issues.push({ code: "custom", input: value, message: bytesExpected });
        return z.NEVER;
      }
      if (size >= min && size <= max) return size;
      const range = size < min ? `at least ${formatBytes(min)}` : `at most ${formatBytes(max)}`;
      context.issues.push({ code: "custom", input: value, message: `must be ${range}` });
      return z.NEVER;
    });
}

/** A share in a document: 0..1 or a percentage as text; 0..1 inside. */
export function ratio() {
  return z
    .union([z.number(), z.string().regex(ratioPattern, ratioExpected)], { error: ratioExpected })
    .transform((value, context) => {
      const share = typeof value === "number" ? value : parseRatio(value);
      if (share !== undefined && share >= 0 && share <= 1) return share;
      context.issues.push({ code: "custom", input: value, message: ratioExpected });
      return z.NEVER;
    });
}
