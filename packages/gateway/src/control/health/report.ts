import type { KeyValue } from "../store/store.ts";

/** How loaded an instance says it is; what it does not say, or says in a way that makes no sense, is absent. */
export interface ReportedLoad {
  /** 0 to 1. */
  readonly cpuUsage?: number;
  /** 0 to 1. */
  readonly memoryUsage?: number;
  readonly requestLatencyMs?: number;
}

/** What an instance says of itself under `/health/<service>/<host:port>`. */
export interface InstanceReport {
  /** In capitals; `UP` where it says nothing. */
  readonly status: string;
  readonly load: ReportedLoad;
  /** Whether it ends by itself when nobody keeps it alive. */
  readonly leased: boolean;
  /** When it was written, as far as is known; milliseconds of the clock. */
  readonly writtenMs: number;
  /** As it was written. */
  readonly value: unknown;
}

/** The client kit writes at least every 30 seconds; what is three times as old is no longer true. */
export const reportMsMax = 90_000;
/** A report is a few numbers; what is longer is none. */
const reportBytesMax = 64 * 1024;
/** Longer words are no statuses; people are shown them. */
const statusLengthMax = 32;

/**
 * Reads a health report; `undefined` where the value is no map in JSON. Anybody may write there: what has another shape
 * counts as not said.
 */
export function parseReport(kv: KeyValue, writtenMs: number): InstanceReport | undefined {
  if (kv.value.length > reportBytesMax) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(kv.value.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { status, metrics }: { status?: unknown; metrics?: unknown } = value;
  const { cpuUsage, memoryUsage, requestLatencyMs }: Record<string, unknown> = { ...Object(metrics) };
  const word = typeof status === "string" ? status.trim().toUpperCase().slice(0, statusLengthMax) : "";
  return {
    status: word === "" ? "UP" : word,
    load: {
      ...(isWithin(cpuUsage, 1) ? { cpuUsage } : {}),
      ...(isWithin(memoryUsage, 1) ? { memoryUsage } : {}),
      ...(isWithin(requestLatencyMs, Infinity) ? { requestLatencyMs } : {}),
    },
    leased: kv.lease !== "0",
    writtenMs,
    value,
  };
}

function isWithin(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 && value <= most;
}

/**
 * How old a report says it is: of one that was found, not seen to be written. Machines' clocks differ, so the time of one
 * that arrives is not looked at: it is new.
 */
export function ageOf({ value }: Pick<InstanceReport, "value">, wallMs: number): number {
  const { timestamp }: { timestamp?: unknown } = Object(value);
  const atMs = typeof timestamp === "string" ? Date.parse(timestamp) : typeof timestamp === "number" ? timestamp : NaN;
  return Number.isFinite(atMs) ? Math.max(0, wallMs - atMs) : 0;
}

/** Whether its status counts: as long as its lease, or for 90 s without one. */
export function hasStatus({ leased, writtenMs }: InstanceReport, nowMs: number): boolean {
  return leased || nowMs - writtenMs <= reportMsMax;
}

/** Whether its figures count: they say how it was when it wrote them, lease or not. */
export function hasLoad({ writtenMs }: InstanceReport, nowMs: number): boolean {
  return nowMs - writtenMs <= reportMsMax;
}
