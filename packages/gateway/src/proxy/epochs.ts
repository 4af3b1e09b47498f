/** The exchanges that began between two flips. */
export class Epoch {
  active = 0;
  /** What some of them may use, and no exchange that begins now. */
  retired: Retired[] = [];
  older: Epoch | undefined;
  newer: Epoch | undefined;
  readonly number: number;

  constructor(number: number) {
    this.number = number;
  }
}

interface Retired {
  /** Number of the first epoch whose exchanges could use it. */
  readonly born: number;
  readonly dispose: () => void;
}

/**
 * Disposes of what a flip retired as soon as no exchange can use it any more. Exchanges use only what was live when
 * they began, so what came after and has gone again does not wait for them: a connection that stays open for days
 * holds the one version of a plugin it began with, not all since. Keeps the newest epoch and those with exchanges.
 */
export class Epochs {
  #newest = new Epoch(0);
  readonly #born = new WeakMap<object, number>();

  /** An exchange begins; the returned token goes back to `leave`. */
  enter(): Epoch {
    this.#newest.active++;
    return this.#newest;
  }

  leave(epoch: Epoch): void {
    epoch.active--;
    if (epoch.active === 0 && epoch !== this.#newest) this.#settle(epoch);
  }

  /** A part becomes live with the next `turn`. Of parts it was not told of it takes the oldest exchange for a user. */
  add(part: object): void {
    this.#born.set(part, this.#newest.number + 1);
  }

  /** With the next `turn` a part is live no more. `dispose` runs once and must not throw. */
  retire(part: object, dispose: () => void): void {
    this.#newest.retired.push({ born: this.#born.get(part) ?? 0, dispose });
  }

  /** The flip. */
  turn(): void {
    const before = this.#newest;
    const next = new Epoch(before.number + 1);
    next.older = before;
    before.newer = next;
    this.#newest = next;
    if (before.active === 0) this.#settle(before);
  }

  /** The last exchange of an epoch has ended: what it kept waits for the one before it, or for none. */
  #settle(epoch: Epoch): void {
    const { older, newer, retired } = epoch;
    if (older !== undefined) older.newer = newer;
    if (newer !== undefined) newer.older = older;
    for (const part of retired) {
      if (older !== undefined && older.number >= part.born) older.retired.push(part);
      else part.dispose();
    }
  }
}
