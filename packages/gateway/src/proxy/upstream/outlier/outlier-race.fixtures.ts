import type { OutlierDetectionSettings } from "@headgate/schema";
import { OutlierDetector } from "./outlier-detector.ts";
import { OutlierState } from "./outlier-state.ts";

/* What threads do to one service in outlier-race.test.ts. They share a clock too: a word that counts milliseconds. */

export interface Race {
  readonly service: SharedArrayBuffer;
  readonly instances: readonly SharedArrayBuffer[];
  readonly clock: SharedArrayBuffer;
  readonly settings: OutlierDetectionSettings;
  readonly rounds: number;
}

export interface Seen {
  /** Most instances that were out at the same time, by any look at all of them. */
  readonly outMost: number;
  /** Changes by from and to. */
  readonly changes: Readonly<Record<string, number>>;
}

/**
 * Instances that are ejected or on probation. Places are read twice, and only what is the same both times was so at one
 * moment, the one between; otherwise none.
 */
export function outAtOnce(instances: readonly SharedArrayBuffer[]): number {
  const places = (): number[] => instances.flatMap((memory) => [...new Int32Array(memory, 0, 2)]);
  const first = places();
  const second = places();
  if (first.some((word, at) => word !== second[at])) return 0;
  return first.filter((word, at) => at % 2 === 0 && [1, 2].includes(word & 3)).length;
}

function open({ service, instances, settings }: Race): { detector: OutlierDetector; outliers: OutlierState[] } {
  const outliers = instances.map((memory) => new OutlierState(memory, 0));
  const detector = new OutlierDetector(
    settings,
    outliers.map((outlier) => ({ outlier })),
    service,
    0,
  );
  return { detector, outliers };
}

/** Every instance fails most of the time, some are lifted, and some attempts are never heard of. */
export function fail(race: Race, index: number): Seen {
  const { detector, outliers } = open(race);
  const words = new Int32Array(race.clock);
  let seed = index + 1;
  const random = (): number => (seed = (Math.imul(seed, 48_271) >>> 0) % 2_147_483_647) / 2_147_483_647;
  const changes: Record<string, number> = {};
  let outMost = 0;
  for (let i = 0; i < race.rounds; i++) {
    const nowMs = Atomics.add(words, 0, random() < 0.3 ? 1 : 0);
    const at = Math.floor(random() * outliers.length);
    const outlier = outliers[at];
    const permit = outlier?.acquire(nowMs, 50) ?? 0;
    if (permit !== 0 && random() > 0.01) {
      const outcome = random() < 0.1 ? "ignored" : random() < 0.8 ? "failure" : "success";
      for (const { from, to } of detector.record(at, outcome, nowMs, permit) ?? []) {
        changes[`${from} ${to}`] = (changes[`${from} ${to}`] ?? 0) + 1;
      }
    }
    if (random() < 0.001 && outlier?.lift() === true) changes["lifted"] = (changes["lifted"] ?? 0) + 1;
    outMost = Math.max(outMost, outAtOnce(race.instances));
  }
  return { outMost, changes };
}
