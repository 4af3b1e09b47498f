import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { ServiceMemory } from "../../proxy/upstream/memory.ts";
import type { Announcer } from "./announcer.ts";
import { isoTime, type Circuit } from "./circuit.ts";
import { ForcedCircuits, forcedMax, type ForcedCircuit } from "./forced-circuits.ts";
import type { CircuitFacts, CircuitName } from "./instance-state.ts";
import type { WatchedService } from "./watched.ts";

/** A circuit breaker, for people and programs. */
export interface CircuitText {
  readonly service: string;
  /** Absent: the breaker of the service as a whole. */
  readonly instance?: string;
  readonly state: CircuitName;
  /** How an operator holds it, and who. */
  readonly forced?: "open" | "closed";
  readonly by?: string;
  /** Why it changed last. */
  readonly reason?: string;
  /** ISO 8601; absent where it was never anything but closed, or the instance is not there now. */
  readonly since?: string;
  /** When trials begin. */
  readonly until?: string;
}

/** What an operator makes of a breaker: `auto` lets it go. */
export type CircuitOrder = "open" | "closed" | "auto";

export interface CircuitsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly announcer: Announcer;
  readonly services: ReadonlyMap<string, WatchedService>;
  /** The state of an instance may be another. */
  readonly onChange: (service: WatchedService, instance: string) => void;
}

/** The circuit breakers of services and instances, as they are shown and as operators hold them. */
export class Circuits {
  readonly #options: CircuitsOptions;
  readonly #forced: ForcedCircuits;

  constructor(options: CircuitsOptions) {
    this.#options = options;
    this.#forced = new ForcedCircuits(options.random);
  }

  /** Memory that the workers do not have yet: what is held there is held from the beginning. */
  prepare(service: string, memory: ServiceMemory): void {
    this.#forced.apply(service, memory);
  }

  /** A service or an instance is new, and what is held of it nobody needs to be told again. */
  begin(watched: WatchedService, instance: string | undefined): void {
    const forced = this.#forced.get(watched.name, instance);
    if (forced !== undefined) this.#open(watched, instance)?.tell(forced.to, heldBy(forced));
  }

  /**
   * Those of a service: its own and one for each instance. Of all services: of those that have breakers, and what is
   * held elsewhere. `undefined`: there is no such service.
   */
  list(service?: string): readonly CircuitText[] | undefined {
    const { services } = this.#options;
    if (service !== undefined) {
      const watched = services.get(service);
      const away = this.#away(service);
      return watched === undefined && away.length === 0 ? undefined : [...this.#of(watched), ...away];
    }
    const names = [...new Set([...services.keys(), ...Array.from(this.#forced.all(), (one) => one.service)])].sort();
    return names.flatMap((name) => {
      const watched = services.get(name);
      const all = [...this.#of(watched), ...this.#away(name)];
      return watched?.resource.circuitBreaker === undefined ? all.filter(({ forced }) => forced !== undefined) : all;
    });
  }

  /** That of a service as a whole; `undefined` where it has none and none is held. */
  whole(watched: WatchedService): CircuitText | undefined {
    const text = this.#text(watched, undefined, watched.views.circuit(this.#options));
    return watched.resource.circuitBreaker === undefined && text.forced === undefined ? undefined : text;
  }

  /** Holds a breaker, or lets it go. `undefined`: there is none. Throws a RangeError where too many are held. */
  order(service: string, instance: string | undefined, order: CircuitOrder, author: string): CircuitText | undefined {
    const watched = this.#options.services.get(service);
    const circuit = this.#open(watched, instance);
    if (circuit === undefined && (order !== "auto" || this.#forced.get(service, instance) === undefined))
      return undefined;
    let reason = `let go by ${author}`;
    if (order === "auto") this.#forced.letGo(service, instance);
    else {
      const forced = { service, ...(instance === undefined ? {} : { instance }), to: order, author };
      reason = heldBy(forced);
      if (!this.#forced.hold(forced)) {
        throw new RangeError(`${forcedMax} circuit breakers are held: let one go first.`);
      }
    }
    this.#say(service, instance, order, author);
    if (watched === undefined || circuit === undefined) {
      return { service, ...(instance === undefined ? {} : { instance }), state: "closed" };
    }
    circuit.breaker.force(order === "auto" ? undefined : order);
    const { state } = circuit.facts(watched.resource.circuitBreaker !== undefined);
    this.tell(watched, instance, state, reason);
    return this.#text(watched, instance, circuit);
  }

  /** A breaker became so, says a worker or an operator. */
  tell(watched: WatchedService, instance: string | undefined, state: CircuitName, reason: string | undefined): void {
    const circuit = this.#open(watched, instance);
    if (circuit === undefined) return;
    const before = circuit.told;
    if (circuit.tell(state, reason)) {
      this.#options.announcer.breaker(watched.name, instance, before, state, reason);
    }
    if (instance !== undefined) this.#options.onChange(watched, instance);
  }

  /** Tells what nobody could. Whether it is to be looked at again at once: a worker's word may be on its way. */
  look(watched: WatchedService, instance: string | undefined): boolean {
    const views = instance === undefined ? watched.views : watched.used.get(instance)?.views;
    const circuit = views?.circuit(this.#options);
    if (circuit === undefined) return false;
    const seen = circuit.look(watched.resource.circuitBreaker !== undefined);
    if (seen !== undefined) this.tell(watched, instance, seen, seen === "open" ? circuit.reason : undefined);
    return circuit.isUntold;
  }

  #open(watched: WatchedService | undefined, instance: string | undefined): Circuit | undefined {
    const views = instance === undefined ? watched?.views : watched?.used.get(instance)?.views;
    return views?.openCircuit(this.#options);
  }

  #of(watched: WatchedService | undefined): readonly CircuitText[] {
    if (watched === undefined) return [];
    const instances = [...watched.used].sort(([a], [b]) => (a < b ? -1 : 1));
    return [
      this.#text(watched, undefined, watched.views.circuit(this.#options)),
      ...instances.map(([address, { views }]) => this.#text(watched, address, views.circuit(this.#options))),
    ];
  }

  /** What is held and not there: it is held as soon as it comes back. */
  #away(service: string): readonly CircuitText[] {
    const { services } = this.#options;
    return Array.from(this.#forced.all())
      .filter((one) => one.service === service && !isThere(services.get(service), one.instance))
      .map(({ to, author, instance }) => ({
        ...{ service, state: to, forced: to, by: author },
        ...(instance === undefined ? {} : { instance }),
      }));
  }

  #text(watched: WatchedService, instance: string | undefined, circuit: Circuit | undefined): CircuitText {
    const { clock } = this.#options;
    const isConfigured = watched.resource.circuitBreaker !== undefined;
    const { state, forced, reason, untilMs }: CircuitFacts = circuit?.facts(isConfigured) ?? { state: "closed" };
    const sinceWallMs = circuit?.sinceWallMs;
    const held: ForcedCircuit | undefined = this.#forced.get(watched.name, instance);
    return {
      service: watched.name,
      ...(instance === undefined ? {} : { instance }),
      state,
      ...(forced === undefined ? {} : { forced }),
      ...(held === undefined ? {} : { by: held.author }),
      ...(reason === undefined ? {} : { reason }),
      ...(sinceWallMs === undefined ? {} : { since: new Date(sinceWallMs).toISOString() }),
      ...(untilMs === undefined ? {} : { until: isoTime(clock, untilMs) }),
    };
  }

  #say(service: string, instance: string | undefined, order: CircuitOrder, author: string): void {
    const whose = instance === undefined ? service : `${instance} of ${service}`;
    const what = order === "auto" ? "lets go" : order === "open" ? "holds open" : "holds closed";
    const fields = { service, ...(instance === undefined ? {} : { instance }), author };
    this.#options.log.info(fields, `${author} ${what} the circuit breaker of ${whose}`);
  }
}

function heldBy({ to, author }: ForcedCircuit): string {
  return `held ${to} by ${author}`;
}

function isThere(watched: WatchedService | undefined, instance: string | undefined): boolean {
  return watched !== undefined && (instance === undefined || watched.used.has(instance));
}
