import { InstanceHealth } from "../../proxy/upstream/health/instance-health.ts";
import type { CircuitFacts } from "./instance-state.ts";

/** What the control thread sees and changes of the memory of an instance. */
export class InstanceViews {
  /** Which memory this is: an instance that left and came back has another. */
  readonly memory: SharedArrayBuffer;
  readonly health: InstanceHealth;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.health = new InstanceHealth(memory);
  }

  /** Milliseconds until it is let back; 0: it is not ejected. */
  ejectedForMs(_nowMs: number): number {
    return 0;
  }

  /** It is well: it need not wait for the end of its ejection. */
  lift(): void {
    // Nothing ejects yet.
  }

  circuit(_nowMs: number): CircuitFacts {
    return { state: "closed" };
  }
}
