import { instanceBytes } from "../memory.ts";
import type { Candidate, PickContext } from "./candidate.ts";
import { InstanceLoad } from "./instance-load.ts";

/** An instance whose every property a test sets. */
export class FakeInstance implements Candidate {
  readonly address: string;
  readonly zone: string | undefined;
  weight: number;
  readonly load: InstanceLoad;
  up = true;
  ramped = 1;
  biasedBy = 1;
  forcedOff = false;

  constructor(address: string, weight = 1, zone?: string) {
    this.address = address;
    this.weight = weight;
    this.zone = zone;
    this.load = new InstanceLoad(new SharedArrayBuffer(instanceBytes(1)), 1, 1);
  }

  available = (): boolean => this.up;
  ramp = (): number => this.ramped;
  bias = (): number => this.biasedBy;
  barred = (): boolean => this.forcedOff;

  /** So many attempts begin and do not end. */
  busy(count: number, nowMs = 0): this {
    for (let i = 0; i < count; i++) this.load.begin(nowMs);
    return this;
  }
}

/** Instances `i0`, `i1`, ... of these weights. */
export function instancesOf(weights: readonly number[]): FakeInstance[] {
  return weights.map((weight, index) => new FakeInstance(`i${index}:80`, weight));
}

export function contextOf(context: Partial<PickContext> = {}): PickContext {
  return { nowMs: 0, excluded: undefined, key: undefined, ...context };
}

/** Pearson's chi-square of counts against the shares that are expected. */
export function chiSquare(counts: readonly number[], shares: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shareSum = shares.reduce((sum, share) => sum + share, 0);
  let sum = 0;
  for (const [i, count] of counts.entries()) {
    const expected = ((shares[i] ?? 0) / shareSum) * total;
    sum += (count - expected) ** 2 / expected;
  }
  return sum;
}

/** The value that chi-square exceeds by chance once in a thousand times, for 1 to 9 degrees of freedom. */
export const chiSquareLimit = [10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88] as const;
