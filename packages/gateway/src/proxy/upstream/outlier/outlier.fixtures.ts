import type { OutlierDetectionSettings } from "@headgate/schema";
import type { AttemptOutcome } from "../attempt-outcome.ts";
import { type OutlierChange, OutlierDetector } from "./outlier-detector.ts";
import { OutlierState, outlierStateBytes } from "./outlier-state.ts";

export const settings: OutlierDetectionSettings = {
  maxEjectedRatio: 0.5,
  baseMs: 1_000,
  maxMs: 3_500,
  consecutive: 3,
  intervalMs: 10_000,
};

/** A service with some instances, a time that a test moves, and short names for what requests do. */
export class Bench {
  nowMs: number;
  readonly service = new SharedArrayBuffer(64);
  readonly memories: SharedArrayBuffer[];
  instances: { outlier: OutlierState }[];
  detector: OutlierDetector;
  readonly changes: OutlierChange[] = [];

  constructor(instances: number, changed: Partial<OutlierDetectionSettings> = {}, nowMs = 5_000) {
    this.nowMs = nowMs;
    this.memories = Array.from(
      { length: instances },
      () => new SharedArrayBuffer(Math.ceil(outlierStateBytes / 8) * 8),
    );
    this.instances = this.memories.map((memory) => ({ outlier: new OutlierState(memory, 0) }));
    this.detector = new OutlierDetector({ ...settings, ...changed }, this.instances, this.service, 0);
  }

  /** The places of all, as `i`, `e` and `p`. */
  get places(): string {
    return this.instances.map(({ outlier }) => outlier.place(this.nowMs).charAt(0)).join("");
  }

  at(index: number): OutlierState {
    const instance = this.instances[index];
    if (instance === undefined) throw new Error(`there is no instance ${index}`);
    return instance.outlier;
  }

  record(index: number, outcome: AttemptOutcome, permit: number): readonly OutlierChange[] | undefined {
    const changes = this.detector.record(index, outcome, this.nowMs, permit);
    this.changes.push(...(changes ?? []));
    return changes;
  }

  /** Attempts that are let through and end at once; those that are refused do nothing. */
  run(index: number, count: number, outcome: AttemptOutcome): void {
    for (let i = 0; i < count; i++) {
      const permit = this.at(index).acquire(this.nowMs);
      if (permit !== 0) this.record(index, outcome, permit);
    }
  }
}
