import type { Random } from "../../core/clock.ts";
import { Breaker } from "../../proxy/upstream/breaker/breaker.ts";
import { InstanceHealth } from "../../proxy/upstream/health/instance-health.ts";
import { instanceLayout, serviceLayout } from "../../proxy/upstream/memory.ts";
import { OutlierState } from "../../proxy/upstream/outlier/outlier-state.ts";

/** What the control thread sees and changes of the memory of an instance. */
export interface InstanceViews {
  /** Which memory this is: an instance that left and came back has another. */
  readonly memory: SharedArrayBuffer;
  readonly health: InstanceHealth;
  readonly outlier: OutlierState;
  readonly breaker: Breaker;
}

export function viewInstance(memory: SharedArrayBuffer, random: Random): InstanceViews {
  return {
    memory,
    health: new InstanceHealth(memory, instanceLayout.health),
    outlier: new OutlierState(memory, instanceLayout.outlier),
    breaker: instanceBreaker(memory, random),
  };
}

export function instanceBreaker(memory: SharedArrayBuffer, random: Random): Breaker {
  return new Breaker(memory, instanceLayout.breaker, random);
}

/** The breaker of a service as a whole. */
export function serviceBreaker(memory: SharedArrayBuffer, random: Random): Breaker {
  return new Breaker(memory, serviceLayout.breaker, random);
}
