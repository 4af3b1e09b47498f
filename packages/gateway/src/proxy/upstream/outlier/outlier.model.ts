import type { OutlierDetectionSettings } from "@headgate/schema";
import type { AttemptOutcome } from "../attempt-outcome.ts";
import { findOutliers } from "./find-outliers.ts";
import type { OutlierPlace } from "./outlier-state.ts";

/** What was given out: a permit is good for the one stay it was given in. */
export interface ModelPermit {
  readonly of: object;
}

interface ModelInstance {
  /** A new object with each change of place. */
  stay: object;
  place: "in" | "ejected" | "probation";
  untilMs: number;
  trial: { deadlineMs: number } | undefined;
  ejections: number;
  inARow: number;
  requests: number;
  failures: number;
}

/** Outlier detection with nothing shared and nothing packed: who is out is counted when it is asked for. */
export class OutlierModel {
  readonly instances: ModelInstance[];
  readonly #settings: OutlierDetectionSettings;
  #intervalMs: number | undefined;

  constructor(settings: OutlierDetectionSettings, instances: number) {
    this.#settings = settings;
    this.instances = Array.from({ length: instances }, () => ({
      stay: {},
      place: "in",
      untilMs: 0,
      trial: undefined,
      ejections: 0,
      inARow: 0,
      requests: 0,
      failures: 0,
    }));
  }

  acquire(instance: ModelInstance, nowMs: number, trialMs: number): ModelPermit | undefined {
    if (instance.place === "in") return { of: instance.stay };
    if (this.ejected(instance, nowMs)) return undefined;
    this.#move(instance, "probation");
    instance.trial = { deadlineMs: Math.floor(nowMs + trialMs) };
    return { of: instance.stay };
  }

  ejected(instance: ModelInstance, nowMs: number): boolean {
    if (instance.place === "ejected") return instance.untilMs > nowMs;
    return instance.trial !== undefined && instance.trial.deadlineMs > nowMs;
  }

  place(instance: ModelInstance, nowMs: number): OutlierPlace {
    return instance.place === "ejected" && instance.untilMs <= nowMs ? "probation" : instance.place;
  }

  lift(instance: ModelInstance): boolean {
    if (instance.place === "in") return false;
    this.#move(instance, "in");
    return true;
  }

  record(instance: ModelInstance, outcome: AttemptOutcome, nowMs: number, permit: ModelPermit): string[] {
    const changes: string[] = [];
    if (permit.of === instance.stay) {
      if (instance.place === "probation") {
        instance.trial = undefined;
        if (outcome === "success") {
          this.#move(instance, "in");
          changes.push("trial-succeeded");
        } else if (outcome === "failure") {
          this.#eject(instance, nowMs);
          changes.push("trial-failed");
        }
      } else if (outcome !== "ignored") {
        instance.requests++;
        if (outcome === "failure") instance.failures++;
        instance.inARow = outcome === "failure" ? instance.inARow + 1 : 0;
        if (instance.inARow >= this.#settings.consecutive && this.#mayEject()) {
          this.#eject(instance, nowMs);
          changes.push("consecutive");
        }
      }
    }
    return [...changes, ...this.#compare(nowMs)];
  }

  #compare(nowMs: number): string[] {
    const elapsedMs = this.#intervalMs === undefined ? undefined : nowMs - this.#intervalMs;
    if (elapsedMs !== undefined && elapsedMs < this.#settings.intervalMs) return [];
    this.#intervalMs = Math.floor(nowMs);
    const intervals = elapsedMs === undefined ? 0 : Math.floor(elapsedMs / this.#settings.intervalMs);
    const samples = this.instances
      .map(({ requests, failures }, index) => ({ index, requests, failures }))
      .filter(({ index }) => this.instances[index]?.place === "in");
    for (const instance of this.instances) {
      instance.requests = instance.failures = 0;
      if (instance.place === "in") instance.ejections = Math.max(0, instance.ejections - intervals);
    }
    if (intervals !== 1) return [];
    const changes: string[] = [];
    for (const { index, reason } of findOutliers(samples)) {
      const instance = this.instances[index];
      if (instance === undefined || !this.#mayEject()) continue;
      this.#eject(instance, nowMs);
      changes.push(reason);
    }
    return changes;
  }

  #mayEject(): boolean {
    const out = this.instances.filter(({ place }) => place !== "in").length;
    return (out + 1) / this.instances.length <= this.#settings.maxEjectedRatio;
  }

  #eject(instance: ModelInstance, nowMs: number): void {
    const { baseMs, maxMs } = this.#settings;
    if (baseMs * instance.ejections < maxMs) instance.ejections++;
    this.#move(instance, "ejected");
    instance.untilMs = Math.floor(nowMs + Math.min(baseMs * instance.ejections, maxMs));
  }

  #move(instance: ModelInstance, place: "in" | "ejected" | "probation"): void {
    instance.place = place;
    instance.stay = {};
    instance.trial = undefined;
    instance.inARow = 0;
  }
}
