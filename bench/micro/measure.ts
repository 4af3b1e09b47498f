import { median } from "../kit/statistics.ts";

/** Nanoseconds of one operation. */
export interface MicroResult {
  readonly name: string;
  readonly bestNs: number;
  readonly medianNs: number;
}

const samples = 21;
const sampleNs = 20_000_000;
const warmUpNs = 200_000_000;

// Where results go: an operation whose value nobody takes may be compiled away.
let taken: unknown;

/** Measures an operation: compiled first, then repeated in samples of 20 ms each. */
export function measure(name: string, operation: () => unknown): MicroResult {
  const loop = (count: number): number => {
    const started = process.hrtime.bigint();
    for (let i = 0; i < count; i++) taken = operation();
    return Number(process.hrtime.bigint() - started);
  };
  let count = 64;
  let spent = loop(count);
  for (let warm = spent; warm < warmUpNs; warm += spent) spent = loop((count = Math.ceil((count * sampleNs) / spent)));
  return result(
    name,
    Array.from({ length: samples }, () => loop(count) / count),
  );
}

/** The same for an operation that returns a promise; the next one starts when it has resolved. */
export async function measureAsync(name: string, operation: () => Promise<unknown>): Promise<MicroResult> {
  const loop = async (count: number): Promise<number> => {
    const started = process.hrtime.bigint();
    for (let i = 0; i < count; i++) taken = await operation();
    return Number(process.hrtime.bigint() - started);
  };
  let count = 64;
  let spent = await loop(count);
  for (let warm = spent; warm < warmUpNs; warm += spent) {
    spent = await loop((count = Math.ceil((count * sampleNs) / spent)));
  }
  const perOperation: number[] = [];
  for (let i = 0; i < samples; i++) perOperation.push((await loop(count)) / count);
  return result(name, perOperation);
}

/** Prints the results: a table, or one line of JSON with `--json`, which is what bench/run.ts reads. */
export function report(title: string, results: readonly MicroResult[]): void {
  if (process.argv.includes("--json")) {
    console.log(JSON.stringify({ title, results }));
    return;
  }
  console.log(title);
  for (const { name, bestNs, medianNs } of results) {
    console.log(
      `  ${name.padEnd(48)} ${bestNs.toFixed(0).padStart(8)} ns best ${medianNs.toFixed(0).padStart(8)} ns median`,
    );
  }
}

function result(name: string, perOperation: readonly number[]): MicroResult {
  if (taken === undefined) taken = perOperation;
  return { name, bestNs: Math.min(...perOperation), medianNs: median(perOperation) };
}
