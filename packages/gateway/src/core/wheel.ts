/**
 * A hashed timing wheel: arming, re-arming and disarming cost a few pointer writes, however many timers there are.
 * Deadlines are coarse: a timer fires up to one tick late, never early.
 * Source: G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 6.
 */
const slots = 512;

/** One timer; owned by what it guards and re-used for all its deadlines. What is made per exchange extends it instead. */
export abstract class Timed {
  /** Monotonic milliseconds; meaningful while armed. */
  deadlineMs = 0;
  next: Timed | undefined;
  previous: Timed | undefined;
  slot = -1;

  /** The deadline has come; the timer is disarmed. */
  abstract fire(): void;

  get armed(): boolean {
    return this.slot >= 0;
  }
}

/** A timer that calls a function. */
export class WheelTimer extends Timed {
  readonly #action: () => void;

  constructor(action: () => void) {
    super();
    this.#action = action;
  }

  fire(): void {
    this.#action();
  }
}

export class Wheel {
  readonly tickMs: number;
  readonly #heads: (Timed | undefined)[] = new Array<Timed | undefined>(slots).fill(undefined);
  #lastTick: number;

  /** `tickMs`: the resolution. `nowMs`: monotonic time at the start. */
  constructor(nowMs: number, tickMs = 50) {
    this.tickMs = tickMs;
    this.#lastTick = Math.floor(nowMs / tickMs);
  }

  arm(timer: Timed, deadlineMs: number): void {
    const tick = Math.max(Math.ceil(deadlineMs / this.tickMs), this.#lastTick + 1);
    const slot = tick & (slots - 1);
    timer.deadlineMs = deadlineMs;
    if (timer.slot === slot) return;
    if (timer.slot >= 0) this.disarm(timer);
    const head = this.#heads[slot];
    timer.slot = slot;
    timer.next = head;
    timer.previous = undefined;
    if (head !== undefined) head.previous = timer;
    this.#heads[slot] = timer;
  }

  disarm(timer: Timed): void {
    if (timer.slot < 0) return;
    if (timer.previous === undefined) this.#heads[timer.slot] = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next !== undefined) timer.next.previous = timer.previous;
    timer.slot = -1;
    timer.next = undefined;
    timer.previous = undefined;
  }

  /** Fires what is due. The owner calls it about every `tickMs`; after a pause it catches up. */
  advance(nowMs: number): void {
    const tick = Math.floor(nowMs / this.tickMs);
    // After a long pause one turn of the wheel visits every slot.
    let at = Math.max(this.#lastTick + 1, tick - slots + 1);
    for (; at <= tick; at++) {
      this.#lastTick = at;
      let timer = this.#heads[at & (slots - 1)];
      while (timer !== undefined) {
        // `fire` may arm or disarm any timer, so the successor is not trusted: after firing, start over.
        if (timer.deadlineMs <= nowMs) {
          this.disarm(timer);
          timer.fire();
          timer = this.#heads[at & (slots - 1)];
        } else {
          timer = timer.next;
        }
      }
    }
  }
}
