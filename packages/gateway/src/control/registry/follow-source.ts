import { formatDuration } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { pause, type Timers } from "../../core/timers.ts";
import { sameValue } from "../compile.ts";
import { backoffMs } from "../replica/pause.ts";
import type { FoundInstance, Found, Source } from "./source.ts";

/** Before what lacks most of the known instances is looked at again. */
const secondLookMs = 2_000;
/** Between further looks at it. */
const lookAgainMs = 10_000;
/** Fewer that vanish are believed, unless nothing is left: with two instances one that ends is half of them. */
const heldMin = 2;
/** Longest pause between two tries of a source that cannot be read. */
const backoffMsMax = 30_000;
/** A source that was followed for so long before it failed failed for the first time. */
const steadyMs = 30_000;
/** A source that answers and fails within this time, again and again, is not well in between. */
const wellAfterMs = 5_000;
/** Instances of one source; an answer with more is refused. */
const instancesMax = 10_000;

export interface FollowerOptions {
  readonly source: Source;
  /** What was known of it when it was followed last. */
  readonly initial?: readonly FoundInstance[];
  /** The instances are others, or are known for the first time. Must not throw. */
  readonly onInstances: () => void;
  /** `answered` or `problem` is another. Must not throw. */
  readonly onState: () => void;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Keeps the instances that one source names, for as long as it runs. A source that cannot be read changes nothing: the
 * last known instances stay, for as long as it takes. An answer in which all of them are missing, or most, is not
 * believed until a later look says the same; what it names beside them is used at once.
 */
export class SourceFollower {
  readonly source: Source;
  readonly #options: FollowerOptions;
  readonly #stop = new AbortController();
  #known: readonly FoundInstance[] | undefined;
  #answered = false;
  #doubtSinceMs: number | undefined;
  #failure: string | undefined;
  #doubt: string | undefined;
  #remark: string | undefined;
  #cancelWell: (() => void) | undefined;
  /** When it answered first since it was begun anew. */
  #answeredMs: number | undefined;
  /** Whether the last failure came soon after an answer. */
  #flaps = false;
  #told = "";

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.source = options.source;
    this.#known = options.initial;
  }

  /** By address. `undefined`: nothing is known yet. */
  get instances(): readonly FoundInstance[] | undefined {
    return this.#known;
  }

  /** Whether it answered since it is followed. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Whether the last try to read it failed. */
  get failing(): boolean {
    return this.#failure !== undefined;
  }

  /** What is wrong with it, in one sentence without a final stop. */
  get problem(): string | undefined {
    return this.#failure ?? this.#doubt ?? this.#remark;
  }

  start(): void {
    void this.#run();
  }

  /** Gives up an instance that is only held. */
  release(address: string): void {
    const known = this.#known ?? [];
    const left = known.filter((one) => one.address !== address || one.heldSinceMs === undefined);
    if (left.length < known.length) this.#set(left);
  }

  /** Nothing is told afterwards. What was known stays readable. */
  stop(): void {
    this.#stop.abort();
    this.#cancelWell?.();
  }

  async #run(): Promise<void> {
    const { clock, timers, random } = this.#options;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted;) {
      const startedMs = clock.now();
      let pauseMs: number;
      try {
        pauseMs = await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        failures = this.#answered && clock.now() - startedMs >= steadyMs ? 0 : failures + 1;
        this.#fail(error);
        pauseMs = backoffMs(failures, random, backoffMsMax);
      }
      await pause(timers, pauseMs, signal);
    }
  }

  /** Answers after which pause to look anew. */
  async #follow(): Promise<number> {
    const { signal } = this.#stop;
    this.#answeredMs = undefined;
    for await (const found of this.source.follow(signal)) {
      if (signal.aborted) break;
      const doubtMs = this.#take(found);
      if (doubtMs > 0) return doubtMs;
    }
    return secondLookMs;
  }

  /** Answers how long to wait before a second look; 0: it is believed. */
  #take({ instances, remark }: Found): number {
    if (instances.length > instancesMax) throw new Error(`it names more than ${instancesMax} instances`);
    const nowMs = this.#options.clock.now();
    this.#answeredMs ??= nowMs;
    if (this.#flaps) this.#wellLater();
    else this.#well();
    this.#remark = remark;
    const found = byAddress(instances);
    const up = (this.#known ?? []).filter(({ status }) => status === "UP");
    const lost = up.filter(({ address }) => !found.has(address));
    const doubtful = lost.length > 0 && (found.size === 0 || (lost.length >= heldMin && lost.length * 2 > up.length));
    const keptMs = found.size === 0 ? (this.source.emptyKeptMs ?? secondLookMs) : secondLookMs;
    const untilMs = (this.#doubtSinceMs ?? nowMs) + keptMs;
    if (!doubtful || (this.#doubtSinceMs !== undefined && nowMs >= untilMs)) {
      this.#doubtSinceMs = undefined;
      this.#doubt = undefined;
      this.#set([...found.values()]);
      return 0;
    }
    this.#doubtSinceMs ??= nowMs;
    const which = found.size === 0 ? "names no instance any more" : `names ${lost.length} of ${up.length} no more`;
    this.#doubt = `it ${which}; they stay until a look after ${formatDuration(keptMs)} says so too`;
    const held = lost.map((one) => ({ ...one, heldSinceMs: one.heldSinceMs ?? nowMs }));
    this.#set([...found.values(), ...held]);
    return Math.max(1, Math.min(lookAgainMs, untilMs - nowMs));
  }

  #set(instances: readonly FoundInstance[]): void {
    const known = instances.toSorted((a, b) => (a.address < b.address ? -1 : 1));
    const same = this.#known !== undefined && sameValue(this.#known, known);
    this.#known = known;
    this.#answered = true;
    if (!same) this.#options.onInstances();
    this.#tell();
  }

  #fail(error: unknown): void {
    this.#cancelWell?.();
    this.#cancelWell = undefined;
    this.#flaps = this.#answeredMs !== undefined && this.#options.clock.now() < this.#answeredMs + wellAfterMs;
    this.#failure = error instanceof Error ? error.message : String(error);
    this.#tell();
  }

  /** Most looks change nothing. */
  #tell(): void {
    const state = JSON.stringify([this.#answered, this.#failure, this.#doubt, this.#remark]);
    if (state === this.#told) return;
    this.#told = state;
    this.#options.onState();
  }

  #wellLater(): void {
    this.#cancelWell ??= this.#options.timers.after(wellAfterMs, () => {
      this.#cancelWell = undefined;
      this.#flaps = false;
      this.#well();
      this.#tell();
    });
  }

  #well(): void {
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.#options.log.info({}, `${this.source.kind} ${this.source.place} answers again`);
  }
}

/** A source may name an instance twice (a slice that moves to another, say): the one that is of more use stays. */
function byAddress(instances: readonly FoundInstance[]): Map<string, FoundInstance> {
  const found = new Map<string, FoundInstance>();
  for (const one of instances) {
    const known = found.get(one.address);
    if (known === undefined || uses.indexOf(one.status) < uses.indexOf(known.status)) found.set(one.address, one);
  }
  return found;
}

const uses = ["UP", "DRAINING", "DOWN"];
