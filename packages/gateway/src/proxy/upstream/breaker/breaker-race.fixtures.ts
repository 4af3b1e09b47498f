import type { CircuitBreakerSettings } from "@headgate/schema";
import { Breaker, changeOfPermit } from "./breaker.ts";

/*
 * What threads do to one breaker in breaker-race.test.ts. They share a clock too: a word that counts milliseconds.
 */

export interface Race {
  readonly memory: SharedArrayBuffer;
  readonly clock: SharedArrayBuffer;
  readonly settings: CircuitBreakerSettings;
  readonly rounds: number;
}

export interface Taken {
  readonly permits: readonly number[];
  /** Permits that say that trials begin. */
  readonly began: number;
}

/** Asks for a permit again and again. */
export function take({ memory, clock, settings, rounds }: Race): Taken {
  const breaker = new Breaker(memory, 0, () => 0);
  const nowMs = Atomics.load(new Int32Array(clock), 0);
  const permits: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const permit = breaker.acquire(settings, nowMs);
    if (permit > 0) permits.push(permit);
  }
  return { permits, began: permits.filter((permit) => changeOfPermit(permit) !== undefined).length };
}

/** Records the same outcome for each of the permits, every one in one thread only; answers the reasons of changes. */
export function answer(
  { memory, clock, settings, permits, outcome, threads }: Race & Answers,
  index: number,
): readonly string[] {
  const breaker = new Breaker(memory, 0, () => 0);
  const nowMs = Atomics.load(new Int32Array(clock), 0);
  const reasons: string[] = [];
  for (let i = index; i < permits.length; i += threads) {
    const change = breaker.record(permits[i] ?? 0, outcome, 1, settings, nowMs);
    if (change !== undefined) reasons.push(change.reason);
  }
  return reasons;
}

export interface Answers {
  readonly permits: readonly number[];
  readonly outcome: "success" | "failure" | "ignored";
  readonly threads: number;
}

export interface Counted {
  readonly failures: number;
}

/**
 * Requests of which each `failEvery`th fails, while eight buckets begin, ever more slowly, so that all that is counted
 * stays in the window. Nothing opens it. Goes on until the threads have met often enough, at most five times as long.
 */
export function count({ memory, clock, settings, rounds, failEvery }: Race & { failEvery: number }): Counted {
  const breaker = new Breaker(memory, 0, () => 0);
  const words = new Int32Array(clock);
  let failures = 0;
  let met = 0;
  let last = 0;
  for (let i = 0; i < rounds || (met < 1_000 && i < 5 * rounds); i++) {
    const turn = Atomics.add(words, 1, 1);
    if (turn !== last + 1) met++;
    last = turn;
    const nowMs = Atomics.load(words, 0) + 0.8 * settings.windowMs * (1 - 1 / (1 + turn / 20_000));
    const failed = i % failEvery === 0;
    if (failed) failures++;
    breaker.record(breaker.acquire(settings, nowMs), failed ? "failure" : "success", 1, settings, nowMs);
  }
  return { failures };
}

export interface Life {
  /** Changes by reason. */
  readonly changes: Readonly<Record<string, number>>;
  /** Of each generation of trials: how many were let through, less those given back. */
  readonly trials: readonly (readonly [generation: number, count: number])[];
}

/** A life of failures and recoveries, with answers that come late and some that never do. */
export function live({ memory, clock, settings, rounds }: Race, index: number): Life {
  let seed = index + 1;
  const random = (): number => (seed = (Math.imul(seed, 48_271) >>> 0) % 2_147_483_647) / 2_147_483_647;
  const breaker = new Breaker(memory, 0, random);
  const words = new Int32Array(clock);
  const changes: Record<string, number> = {};
  const trials = new Map<number, number>();
  const note = (reason: string | undefined): void => {
    if (reason !== undefined) changes[reason] = (changes[reason] ?? 0) + 1;
  };
  const out: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const nowMs = Atomics.add(words, 0, random() < 0.3 ? 1 : 0);
    const failing = Math.floor(nowMs / 500) % 2 === 0; // for all threads alike: it fails for half of the time
    const permit = breaker.acquire(settings, nowMs, 300);
    if (permit > 0) {
      note(changeOfPermit(permit)?.reason);
      if ((permit & 2) !== 0) trials.set(permit >>> 3, (trials.get(permit >>> 3) ?? 0) + 1);
      out.push(permit);
    }
    while (out.length > 20 || (out.length > 0 && random() < 0.6)) {
      const [ended = 0] = out.splice(Math.floor(random() * out.length), 1);
      if (random() < 0.01) continue; // never heard of again
      const ignored = random() < 0.1;
      const generation = ended >>> 3;
      if (ignored && (ended & 2) !== 0) trials.set(generation, (trials.get(generation) ?? 0) - 1);
      const outcome = ignored ? "ignored" : random() < (failing ? 0.9 : 0.02) ? "failure" : "success";
      note(breaker.record(ended, outcome, 1, settings, nowMs)?.reason);
    }
  }
  return { changes, trials: [...trials] };
}
