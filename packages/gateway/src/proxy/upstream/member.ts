import type { InstanceResource } from "@headgate/schema";
import type { Candidate } from "./balancer/candidate.ts";
import type { InstanceLoad } from "./balancer/instance-load.ts";
import { slowStartRamp } from "./balancer/slow-start.ts";
import type { Instance } from "./instance.ts";
import type { OutlierState } from "./outlier/outlier-state.ts";

/**
 * An instance as the service of one snapshot has it: what that snapshot says of it, over what outlives snapshots. A
 * snapshot that is built and never published has changed nothing.
 */
export class Member implements Candidate {
  readonly instance: Instance;
  /** Its place among the service's instances. */
  readonly index: number;
  readonly address: string;
  readonly zone: string | undefined;
  readonly weight: number;
  readonly load: InstanceLoad;
  readonly outlier: OutlierState;
  readonly #slowStartMs: number;
  readonly #ejects: boolean;

  /** `ejects`: whether detection leaves out instances of the service. */
  constructor(
    instance: Instance,
    index: number,
    { weight, zone }: InstanceResource,
    slowStartMs: number,
    ejects: boolean,
  ) {
    this.instance = instance;
    this.index = index;
    this.address = instance.address;
    this.zone = zone;
    this.weight = weight;
    this.load = instance.load;
    this.outlier = instance.outlier;
    this.#slowStartMs = slowStartMs;
    this.#ejects = ejects;
  }

  available(nowMs: number): boolean {
    const { health, breaker } = this.instance;
    return health.available && !breaker.refuses(nowMs) && !(this.#ejects && this.outlier.ejected(nowMs));
  }

  /** An open breaker holds in panic too: it is what bounds the load on instances that all fail. */
  barred(nowMs: number): boolean {
    return this.instance.breaker.refuses(nowMs);
  }

  ramp(nowMs: number): number {
    return this.#slowStartMs === 0 ? 1 : slowStartRamp(this.instance.health.availableSinceMs, this.#slowStartMs, nowMs);
  }

  bias(): number {
    return this.instance.health.bias;
  }
}
