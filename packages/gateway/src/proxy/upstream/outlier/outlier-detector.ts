import type { OutlierDetectionSettings } from "@headgate/schema";
import type { AttemptOutcome } from "../attempt-outcome.ts";
import { serviceLayout } from "../memory.ts";
import { TimedWord } from "../timed-word.ts";
import { EjectedCount } from "./ejected-count.ts";
import { findOutliers, type OutlierSample } from "./find-outliers.ts";
import { type Ejectable, isTrialPermit, type OutlierPlace, type OutlierState } from "./outlier-state.ts";

export type OutlierReason = "consecutive" | "success-rate" | "failure-share" | "trial-failed" | "trial-succeeded";

/** An instance that was ejected or taken in again, told to the one caller that did it. */
export interface OutlierChange {
  /** Its place in the service's list. */
  readonly index: number;
  readonly from: OutlierPlace;
  readonly to: OutlierPlace;
  readonly reason: OutlierReason;
  /** The reason with its figures, for people. */
  readonly detail: string;
  /** Of an ejection: how long until it is tried. */
  readonly forMs?: number;
}

/**
 * Passive detection for one service, over all workers: leaves out an instance that fails `consecutive` times in a row,
 * or that in an interval did worse than the others (`findOutliers`), for `baseMs` times the number of its ejections up
 * to `maxMs`. Each interval inside takes one off that number. Never more than `maxEjectedRatio` of the instances are
 * out at a time, those on probation included, so that when all fail alike most stay.
 *
 * There is no timer: the first answer after an interval's end compares, in whichever worker it comes, once for all of
 * them. Where nothing was asked for longer than an interval there is nothing to compare.
 *
 * One per service and thread, for as long as its instances and settings stay; all that is counted is in shared memory.
 * Source: Envoy's outlier detection (`outlier_detection_impl.cc`), with probation instead of its full return.
 */
export class OutlierDetector {
  readonly #settings: OutlierDetectionSettings;
  readonly #instances: readonly Ejectable[];
  readonly #ejected: EjectedCount;
  /** Bits: 1 once it runs. Time: when the interval began. */
  readonly #interval: TimedWord;

  constructor(
    settings: OutlierDetectionSettings,
    instances: readonly Ejectable[],
    serviceMemory: SharedArrayBuffer,
    byteOffset: number = serviceLayout.outlier,
  ) {
    this.#settings = settings;
    this.#instances = instances;
    this.#interval = new TimedWord(serviceMemory, byteOffset);
    this.#ejected = new EjectedCount(serviceMemory, byteOffset + 8, settings.maxEjectedRatio, instances);
  }

  /**
   * How an attempt at the instance at `index` ended, with the permit that `OutlierState.acquire` gave for it (0, as in
   * panic routing, decides nothing). Failures are answers from 500 and all that kept an answer from coming. Answers
   * what changed, nearly always nothing.
   */
  record(index: number, outcome: AttemptOutcome, nowMs: number, permit: number): readonly OutlierChange[] | undefined {
    const outlier = this.#instances[index]?.outlier;
    if (outlier === undefined) return undefined;
    let change: OutlierChange | undefined;
    if (isTrialPermit(permit)) change = this.#recordTrial(index, outlier, outcome, nowMs, permit);
    else if (outcome !== "ignored" && outlier.concerns(permit)) {
      if (outlier.held) this.#settle(outlier);
      const inARow = outlier.count(permit, outcome === "failure");
      if (inARow >= this.#settings.consecutive) {
        change = this.#eject(index, outlier, "consecutive", `${inARow} failures in a row`, nowMs);
      }
    }
    const compared = this.#compareWhenDue(nowMs);
    if (change === undefined) return compared;
    return compared === undefined ? [change] : [change, ...compared];
  }

  #recordTrial(
    index: number,
    outlier: OutlierState,
    outcome: AttemptOutcome,
    nowMs: number,
    permit: number,
  ): OutlierChange | undefined {
    const from = "probation";
    switch (outcome) {
      case "ignored":
        outlier.giveBack(permit);
        return undefined;
      case "success":
        if (!outlier.readmit(permit)) return undefined;
        this.#ejected.release();
        return { index, from, to: "in", reason: "trial-succeeded", detail: "the trial succeeded" };
      case "failure": {
        const forMs = outlier.ejectAgain(permit, this.#settings, nowMs);
        if (forMs === 0) return undefined;
        return { index, from, to: "ejected", reason: "trial-failed", detail: "the trial failed", forMs };
      }
    }
  }

  #eject(
    index: number,
    outlier: OutlierState,
    reason: OutlierReason,
    detail: string,
    nowMs: number,
  ): OutlierChange | undefined {
    if (!this.#ejected.reserve() && !(this.#settleAll() && this.#ejected.reserve())) return undefined;
    const forMs = outlier.eject(this.#settings, nowMs);
    if (forMs > 0) return { index, from: "in", to: "ejected", reason, detail, forMs };
    this.#ejected.release(); // another worker was faster, with a place of its own
    return undefined;
  }

  /** Takes an instance that was lifted off the count of the ejected; false when there was nothing to do. */
  #settle(outlier: OutlierState): boolean {
    const settles = outlier.settle();
    if (settles) this.#ejected.release();
    return settles;
  }

  /** The same for all, where a place is wanted: those that were lifted may have had no answer since. */
  #settleAll(): boolean {
    let settled = false;
    for (const { outlier } of this.#instances) if (this.#settle(outlier)) settled = true;
    return settled;
  }

  /** At the end of an interval one caller, in one worker, compares the instances. */
  #compareWhenDue(nowMs: number): readonly OutlierChange[] | undefined {
    const interval = this.#interval;
    const running = interval.load() !== 0;
    const elapsedMs = -interval.remainingMs(nowMs);
    const { intervalMs } = this.#settings;
    if ((running && elapsedMs < intervalMs) || !interval.exchange(1, nowMs)) return undefined;
    const intervals = running ? Math.floor(elapsedMs / intervalMs) : 0;
    // Of a longer time it is not known when in it things happened; and the first interval had no beginning.
    return this.#compare(intervals, intervals === 1, nowMs);
  }

  #compare(intervals: number, decides: boolean, nowMs: number): readonly OutlierChange[] | undefined {
    const samples: OutlierSample[] = [];
    for (const [index, { outlier }] of this.#instances.entries()) {
      this.#settle(outlier);
      const failures = outlier.takeFailures();
      const requests = outlier.takeRequests();
      if (outlier.held) continue;
      samples.push({ index, requests, failures: Math.min(failures, requests) });
      outlier.decay(intervals);
    }
    this.#ejected.reconcile(nowMs);
    if (!decides) return undefined;
    const changes: OutlierChange[] = [];
    for (const { index, reason, detail } of findOutliers(samples)) {
      const outlier = this.#instances[index]?.outlier;
      const change = outlier === undefined ? undefined : this.#eject(index, outlier, reason, detail, nowMs);
      if (change !== undefined) changes.push(change);
    }
    return changes.length === 0 ? undefined : changes;
  }
}
