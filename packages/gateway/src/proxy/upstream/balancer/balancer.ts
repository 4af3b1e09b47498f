import type { BalanceSettings } from "@headgate/schema";
import type { Random } from "../../../core/clock.ts";
import type { Balancer, Candidate, PickContext, Policy } from "./candidate.ts";
import { Hash } from "./hash.ts";
import { LeastRequests } from "./least-requests.ts";
import { PeakEwma } from "./peak-ewma.ts";
import { Rotation } from "./rotation.ts";
import { Selection } from "./selection.ts";
import { Sticky, type StickySettings } from "./sticky.ts";

export interface BalancerOptions {
  readonly random: Random;
  /** The gateway's zone. Absent: none is preferred. */
  readonly zone?: string;
  readonly preferZone: boolean;
  /** Below this share of available candidates all are used, 0..1; 0: never. */
  readonly panicThreshold: number;
  /** From which the ids in sticky cookies are made: the same for all workers and gateways. Without it the empty text. */
  readonly stickyKey?: string;
}

/**
 * The balancer of a service's settings over its instances. Made for each snapshot, in each worker. It keeps nothing that
 * matters beyond the snapshot: load is in the instances. Availability, zones, panic and slow start: `Selection`.
 */
export function createBalancer<T extends Candidate>(
  settings: BalanceSettings,
  candidates: readonly T[],
  options: BalancerOptions,
): Balancer<T> {
  return settings.policy === "sticky"
    ? new CookieBalancer(candidates, settings, options)
    : new PolicyBalancer(candidates, settings, options);
}

/** What a balancer works with. Made at its first pick: of thousands of services a worker may never use most. */
interface Made<P extends Policy> {
  readonly selection: Selection;
  readonly policy: P;
}

abstract class SelectingBalancer<T extends Candidate, P extends Policy> {
  protected readonly candidates: readonly T[];
  #made: Made<P> | undefined;

  constructor(candidates: readonly T[]) {
    this.candidates = candidates;
  }

  protected abstract make(): Made<P>;

  protected get made(): Made<P> {
    return (this.#made ??= this.make());
  }

  get panicked(): boolean {
    return this.#made?.selection.panic === true;
  }

  pick(context: PickContext): T | undefined {
    const { selection, policy } = this.made;
    selection.look(context);
    const index = policy.choose(context);
    // A second look sees all there is: its choice needs no third.
    return this.candidates[selection.outdated(index, context) ? policy.choose(context) : index];
  }
}

class PolicyBalancer<T extends Candidate> extends SelectingBalancer<T, Policy> implements Balancer<T> {
  readonly #settings: Exclude<BalanceSettings, StickySettings>;
  readonly #options: BalancerOptions;

  constructor(candidates: readonly T[], settings: Exclude<BalanceSettings, StickySettings>, options: BalancerOptions) {
    super(candidates);
    this.#settings = settings;
    this.#options = options;
  }

  protected make(): Made<Policy> {
    const settings = this.#settings;
    const { random, preferZone, panicThreshold } = this.#options;
    // Where a text is must not depend on where the gateway is.
    const zone = preferZone && settings.policy !== "hash" ? this.#options.zone : undefined;
    const biased = settings.policy === "round-robin" || settings.policy === "least-requests";
    const selection = new Selection(this.candidates, { zone, panicThreshold, biased });
    switch (settings.policy) {
      case "round-robin":
        return { selection, policy: new Rotation(selection, random) };
      case "least-requests":
        return { selection, policy: new LeastRequests(selection, random) };
      case "peak-ewma":
        return { selection, policy: new PeakEwma(selection, random) };
      case "hash":
        return { selection, policy: new Hash(selection, new PeakEwma(selection, random), settings.loadFactor) };
    }
  }
}

class CookieBalancer<T extends Candidate> extends SelectingBalancer<T, Sticky> implements Balancer<T> {
  readonly #settings: StickySettings;
  readonly #options: BalancerOptions;

  constructor(candidates: readonly T[], settings: StickySettings, options: BalancerOptions) {
    super(candidates);
    this.#settings = settings;
    this.#options = options;
  }

  cookieFor(picked: T, key: string | undefined): string | undefined {
    return this.made.policy.cookieFor(this.candidates.indexOf(picked), key);
  }

  protected make(): Made<Sticky> {
    const { random, preferZone, panicThreshold, stickyKey = "" } = this.#options;
    const zone = preferZone ? this.#options.zone : undefined;
    const selection = new Selection(this.candidates, { zone, panicThreshold, biased: false });
    const fresh = new PeakEwma(selection, random);
    return { selection, policy: new Sticky(selection, fresh, this.#settings, stickyKey) };
  }
}
