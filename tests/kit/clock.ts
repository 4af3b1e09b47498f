import type { Clock } from "../../packages/gateway/src/core/clock.ts";

interface Timer {
  readonly id: number;
  dueMs: number;
  readonly everyMs: number | undefined;
  readonly run: () => void;
}

/**
 * Time that stands still until a test moves it, with timers that belong to it. `now` and `wall` start at different
 * values so that code that confuses them fails.
 */
export class FakeClock implements Clock {
  #nowMs: number;
  readonly #wallOffsetMs: number;
  readonly #timers = new Map<number, Timer>();
  #lastId = 0;

  constructor(nowMs = 1_000, wallMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = nowMs;
    this.#wallOffsetMs = wallMs - nowMs;
  }

  now = (): number => this.#nowMs;
  wall = (): number => this.#nowMs + this.#wallOffsetMs;

  setTimeout = (run: () => void, delayMs = 0): number => this.#add(run, delayMs, undefined);
  setInterval = (run: () => void, everyMs: number): number => this.#add(run, everyMs, Math.max(1, everyMs));
  clearTimeout = (id: number | undefined): void => void (id !== undefined && this.#timers.delete(id));
  clearInterval = this.clearTimeout;

  /** Timers that are armed. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time, running what falls due on the way, in order; a timer that a timer arms runs too if it falls due. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (let timer = this.#next(untilMs); timer !== undefined; timer = this.#next(untilMs)) {
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      if (timer.everyMs === undefined) this.#timers.delete(timer.id);
      else timer.dueMs += timer.everyMs;
      timer.run();
    }
    this.#nowMs = untilMs;
  }

  #add(run: () => void, delayMs: number, everyMs: number | undefined): number {
    const id = ++this.#lastId;
    this.#timers.set(id, { id, dueMs: this.#nowMs + Math.max(0, delayMs), everyMs, run });
    return id;
  }

  #next(untilMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers.values()) {
      if (timer.dueMs <= untilMs && (first === undefined || timer.dueMs < first.dueMs)) first = timer;
    }
    return first;
  }
}

/** Numbers in [0, 1) that a seed decides. Source: Mulberry32, Tommy Ettinger. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
