import type { Clock, Random } from "../../core/clock.ts";
import { Breaker } from "../../proxy/upstream/breaker/breaker.ts";
import { InstanceHealth } from "../../proxy/upstream/health/instance-health.ts";
import { instanceLayout, serviceLayout } from "../../proxy/upstream/memory.ts";
import { OutlierState } from "../../proxy/upstream/outlier/outlier-state.ts";
import { Circuit } from "./circuit.ts";

/** What views are made with. */
export interface ViewParts {
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * What the control thread sees and changes of the memory of an instance. Views are made when there is something to see:
 * of ten thousand instances most are well and have none.
 */
export class InstanceViews {
  /** Which memory this is: an instance that left and came back has another. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  #health: InstanceHealth | undefined;
  #outlier: OutlierState | undefined;
  #circuit: Circuit | undefined;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  get health(): InstanceHealth {
    return (this.#health ??= new InstanceHealth(this.memory, instanceLayout.health));
  }

  /** `undefined`: it was never ejected. */
  get outlier(): OutlierState | undefined {
    if (this.#outlier === undefined && isUntouched(this.#words, instanceLayout.outlier)) return undefined;
    return (this.#outlier ??= new OutlierState(this.memory, instanceLayout.outlier));
  }

  /** `undefined`: its breaker was never anything but closed. */
  circuit(parts: ViewParts): Circuit | undefined {
    if (this.#circuit === undefined && isUntouched(this.#words, instanceLayout.breaker)) return undefined;
    return this.openCircuit(parts);
  }

  /** Its breaker, also where nothing has happened to it. */
  openCircuit({ clock, random }: ViewParts): Circuit {
    return (this.#circuit ??= new Circuit(instanceBreaker(this.memory, random), clock));
  }
}

/** The same for a service as a whole. */
export class ServiceViews {
  readonly #memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  #circuit: Circuit | undefined;

  constructor(memory: SharedArrayBuffer) {
    this.#memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** `undefined`: its breaker was never anything but closed. */
  circuit(parts: ViewParts): Circuit | undefined {
    if (this.#circuit === undefined && isUntouched(this.#words, serviceLayout.breaker)) return undefined;
    return this.openCircuit(parts);
  }

  /** Its breaker, also where nothing has happened to it. */
  openCircuit({ clock, random }: ViewParts): Circuit {
    return (this.#circuit ??= new Circuit(serviceBreaker(this.#memory, random), clock));
  }
}

export function instanceBreaker(memory: SharedArrayBuffer, random: Random): Breaker {
  return new Breaker(memory, instanceLayout.breaker, random);
}

/** The breaker of a service as a whole. */
export function serviceBreaker(memory: SharedArrayBuffer, random: Random): Breaker {
  return new Breaker(memory, serviceLayout.breaker, random);
}

/** Whether the word of a state, eight bytes, was never written: zeros are a closed breaker, and one that was not ejected. */
function isUntouched(words: Int32Array, byteOffset: number): boolean {
  return Atomics.load(words, byteOffset / 4) === 0 && Atomics.load(words, byteOffset / 4 + 1) === 0;
}
