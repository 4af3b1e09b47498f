import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { GatewayEvent } from "../events.ts";
import { takesRequests, type CircuitName, type InstanceState, type StateName } from "./instance-state.ts";

/** Lines written within a window; of more only the number is told at its end. */
const linesMax = 20;
const windowMs = 10_000;

export interface AnnouncerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly publish: (event: GatewayEvent) => void;
}

/** Tells what becomes of instances and breakers: an event for each change, and lines in the log, so many and no more. */
export class Announcer {
  readonly #options: AnnouncerOptions;
  #windowEndsMs = 0;
  #lines = 0;
  #leftOut = 0;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** `undefined`: it was not there before, or is gone. */
  instance(service: string, instance: string, before: StateName | undefined, after: InstanceState | undefined): void {
    if (before !== undefined && after !== undefined && isBreakerOnly(before, after.state)) return;
    const { state, reason } = after ?? { state: "gone" as const };
    const why = reason === undefined ? {} : { reason };
    const was = before === undefined ? {} : { before };
    this.#options.publish({ type: "instance", service, instance, state, ...was, ...why });
    const isWell = state === "gone" || state === "draining" || state === "down" || takesRequests(state);
    const what = `instance ${instance} of ${service} is ${state}${reason === undefined ? "" : `: ${reason}`}`;
    this.#write(isWell ? "info" : "warn", { service, instance, state }, what);
  }

  /** `instance` absent: the breaker of the service as a whole. */
  breaker(service: string, instance: string | undefined, before: CircuitName, state: CircuitName, reason = ""): void {
    const one = instance === undefined ? {} : { instance };
    const why = reason === "" ? {} : { reason };
    this.#options.publish({ type: "breaker", service, ...one, state, before, ...why });
    const whose = instance === undefined ? service : `${instance} of ${service}`;
    const what = `the circuit breaker of ${whose} is ${state}${reason === "" ? "" : `: ${reason}`}`;
    this.#write(state === "open" ? "warn" : "info", { service, ...one, breaker: state }, what);
  }

  /** To be called now and then: says how many lines were left out. */
  tick(): void {
    const { clock, log } = this.#options;
    if (this.#leftOut === 0 || clock.now() < this.#windowEndsMs) return;
    log.info({ changes: this.#leftOut }, `${this.#leftOut} more changes of instances: see headgate instances`);
    this.#leftOut = 0;
  }

  #write(level: "info" | "warn", fields: object, message: string): void {
    const { clock, log } = this.#options;
    const nowMs = clock.now();
    if (nowMs >= this.#windowEndsMs) {
      this.tick();
      this.#windowEndsMs = nowMs + windowMs;
      this.#lines = 0;
    }
    if (++this.#lines > linesMax) this.#leftOut++;
    else log[level](fields, message);
  }
}

/** What the breaker's own event tells is not told twice. */
function isBreakerOnly(before: StateName, after: StateName): boolean {
  const isBreaker = (state: StateName): boolean => state === "open" || state === "half-open";
  return (
    (isBreaker(before) || isBreaker(after)) && [before, after].every((one) => isBreaker(one) || takesRequests(one))
  );
}
