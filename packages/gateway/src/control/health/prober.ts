import type { HealthCheckSettings } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import type { Timers } from "../../core/timers.ts";
import type { RunCheck } from "./check.ts";
import { afterCheck, unchecked, type CheckResult, type CheckState } from "./check-state.ts";

/**
 * Checks under way at a time. Of more that are due each waits for one that ends: with very many instances that hang,
 * checks get rarer, and the gateway serves on.
 */
const runningMax = 256;
/** The first check of an instance comes within this time: until then nothing is known of it. */
const firstWithinMs = 1_000;
/** An interval is shortened or lengthened by so much, at most, so that the checks of many gateways spread. */
const jitterRatio = 0.1;

export interface ProberOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly check: RunCheck;
  /** After each check. Must not throw. */
  readonly onChecked: (service: string, address: string, state: CheckState, before: CheckState) => void;
}

interface Target {
  readonly service: string;
  readonly address: string;
  settings: HealthCheckSettings;
  /** What it is asked, to be compared. */
  question: string;
  state: CheckState;
  startedMs: number;
  isQueued: boolean;
  /** Ends the check that is under way; absent where there is none. */
  running: AbortController | undefined;
  /** Calls the next check off. */
  cancel: () => void;
}

/**
 * Checks instances, one after the other or several at a time: the only prober of the gateway, in its control thread.
 * What is known of an instance stays as long as it is checked; other settings of the same service change nothing of it.
 */
export class Prober {
  readonly #options: ProberOptions;
  readonly #services = new Map<string, Map<string, Target>>();
  /** Due, and waiting for one that is under way to end; oldest first. */
  readonly #queue: Target[] = [];
  #running = 0;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Which instances of a service are checked, and how; without settings none are. */
  set(service: string, settings: HealthCheckSettings | undefined, addresses: Iterable<string>): void {
    const known = this.#services.get(service);
    if (settings === undefined && known === undefined) return;
    const next = new Map<string, Target>();
    if (settings !== undefined) {
      const question = questionOf(settings);
      for (const address of addresses) {
        const target = known?.get(address);
        if (target !== undefined) this.#change(target, settings, question);
        next.set(address, target ?? this.#begin(service, address, settings, question));
      }
    }
    for (const [address, target] of known ?? []) if (!next.has(address)) this.#end(target);
    if (next.size === 0) this.#services.delete(service);
    else this.#services.set(service, next);
  }

  /** `undefined`: it is not checked. */
  state(service: string, address: string): CheckState | undefined {
    return this.#services.get(service)?.get(address)?.state;
  }

  /** Ends all checks for good. */
  stop(): void {
    for (const targets of this.#services.values()) for (const target of targets.values()) this.#end(target);
    this.#services.clear();
    this.#queue.length = 0;
  }

  #begin(service: string, address: string, settings: HealthCheckSettings, question: string): Target {
    const target: Target = {
      ...{ service, address, settings, question, state: unchecked, startedMs: 0, isQueued: false },
      running: undefined,
      cancel: () => undefined,
    };
    this.#checkFirst(target);
    return target;
  }

  #change(target: Target, settings: HealthCheckSettings, question: string): void {
    const before = target.settings;
    target.settings = settings;
    if (target.question !== question) {
      target.question = question;
      // What is known is the answer to another question: it holds until the new one is answered, and that decides alone.
      target.state = { ...target.state, checked: false };
      this.#end(target);
      this.#checkFirst(target);
    } else if (before.intervalMs !== settings.intervalMs && target.running === undefined && !target.isQueued) {
      this.#checkFirst(target);
    }
  }

  #checkFirst(target: Target): void {
    const { random } = this.#options;
    this.#checkAfter(target, Math.min(firstWithinMs, target.settings.intervalMs) * random());
  }

  #checkNext(target: Target): void {
    const { clock, random } = this.#options;
    const intervalMs = target.settings.intervalMs * (1 - jitterRatio + 2 * jitterRatio * random());
    this.#checkAfter(target, Math.max(0, target.startedMs + intervalMs - clock.now()));
  }

  #checkAfter(target: Target, delayMs: number): void {
    target.cancel();
    target.cancel = this.#options.timers.after(delayMs, () => {
      target.isQueued = true;
      this.#queue.push(target);
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#running < runningMax) {
      const target = this.#queue.shift();
      if (target === undefined) return;
      // One that is gone meanwhile, or was put off, is passed over.
      if (target.isQueued) void this.#check(target);
    }
  }

  async #check(target: Target): Promise<void> {
    const { clock, check } = this.#options;
    const running = new AbortController();
    target.isQueued = false;
    target.running = running;
    target.startedMs = clock.now();
    this.#running++;
    const result = await check(target.settings, target.address, running.signal);
    this.#running--;
    // A check that was ended says nothing.
    if (target.running === running) {
      target.running = undefined;
      this.#checkNext(target);
      this.#take(target, result);
    }
    this.#pump();
  }

  #take(target: Target, result: CheckResult): void {
    const before = target.state;
    target.state = afterCheck(before, result, target.settings);
    this.#options.onChecked(target.service, target.address, target.state, before);
  }

  #end(target: Target): void {
    target.cancel();
    target.isQueued = false;
    target.running?.abort();
    target.running = undefined;
  }
}

/** What an instance is asked, without how often and how often it must answer. */
function questionOf({ type, path, method, host, headers, statuses, body, port }: HealthCheckSettings): string {
  return JSON.stringify([type, path, method, host, headers, statuses, body, port]);
}
