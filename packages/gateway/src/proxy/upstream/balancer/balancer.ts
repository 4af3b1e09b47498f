import type { BalanceSettings } from "@headgate/schema";
import type { Random } from "../../../core/clock.ts";
import type { Balancer, Candidate, PickContext, Policy } from "./candidate.ts";
import { Hash } from "./hash.ts";
import { LeastRequests } from "./least-requests.ts";
import { PeakEwma } from "./peak-ewma.ts";
import { Rotation } from "./rotation.ts";
import { Selection } from "./selection.ts";
import { Sticky } from "./sticky.ts";

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
  const { policy } = settings;
  // Where a text is must not depend on where the gateway is.
  const zone = options.preferZone && policy !== "hash" ? options.zone : undefined;
  const biased = policy === "round-robin" || policy === "least-requests";
  const selection = new Selection(candidates, { zone, panicThreshold: options.panicThreshold, biased });
  if (policy === "sticky") {
    const sticky = new Sticky(selection, new PeakEwma(selection, options.random), settings, options.stickyKey ?? "");
    return new CookieBalancer(candidates, selection, sticky);
  }
  return new SelectingBalancer(candidates, selection, policyOf(settings, selection, options.random));
}

function policyOf(
  settings: Exclude<BalanceSettings, { policy: "sticky" }>,
  selection: Selection,
  random: Random,
): Policy {
  switch (settings.policy) {
    case "round-robin":
      return new Rotation(selection, random);
    case "least-requests":
      return new LeastRequests(selection, random);
    case "peak-ewma":
      return new PeakEwma(selection, random);
    case "hash":
      return new Hash(selection, new PeakEwma(selection, random), settings.loadFactor);
  }
}

class SelectingBalancer<T extends Candidate> implements Balancer<T> {
  protected readonly candidates: readonly T[];
  readonly #selection: Selection;
  readonly #policy: Policy;

  constructor(candidates: readonly T[], selection: Selection, policy: Policy) {
    this.candidates = candidates;
    this.#selection = selection;
    this.#policy = policy;
  }

  get panicked(): boolean {
    return this.#selection.panic;
  }

  pick(context: PickContext): T | undefined {
    this.#selection.look(context);
    const index = this.#policy.choose(context);
    // A second look sees all there is: its choice needs no third.
    return this.candidates[this.#selection.outdated(index, context) ? this.#policy.choose(context) : index];
  }
}

class CookieBalancer<T extends Candidate> extends SelectingBalancer<T> {
  readonly #sticky: Sticky;

  constructor(candidates: readonly T[], selection: Selection, sticky: Sticky) {
    super(candidates, selection, sticky);
    this.#sticky = sticky;
  }

  cookieFor(picked: T, key: string | undefined): string | undefined {
    return this.#sticky.cookieFor(this.candidates.indexOf(picked), key);
  }
}
