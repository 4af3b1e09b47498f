import type { ConcurrencySettings } from "@headgate/schema";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import { serviceBytes, concurrencyBytes } from "../memory.ts";
import { ServiceLoad } from "../service-load.ts";
import { ConcurrencyLimiter } from "./limiter.ts";

/** A service that is simulated: requests come at random, wait in one queue and are worked at by so many at a time. */
export interface Scenario {
  readonly seconds: number;
  readonly perSecond: number;
  /** How many requests the instances work at together; a step in it is what the limit has to follow. */
  readonly servers: (atMs: number) => number;
  readonly serviceMs: number;
  /** Clients wait this long. What is answered later was work for nothing. */
  readonly deadlineMs: number;
  /** `exponential`: M/M/k. `steady`: the sum of four such, half as spread. */
  readonly spread?: "exponential" | "steady";
  /** By how much work takes longer for each time `servers` that is under way beyond it: threads, caches, locks. */
  readonly thrashing?: number;
  readonly seed?: number;
}

/** What came of it, second by second. */
export interface Outcome {
  /** Answers in time. */
  readonly good: number[];
  readonly refused: number[];
  readonly limits: number[];
}

interface Request {
  readonly atMs: number;
  readonly limiter: ConcurrencyLimiter;
  open: boolean;
}

type Event =
  | { readonly atMs: number; readonly what: "arrival" }
  | { readonly atMs: number; readonly what: "second" }
  | { readonly atMs: number; readonly what: "done"; readonly request: Request }
  | { readonly atMs: number; readonly what: "deadline"; readonly request: Request };

/** Limiters of so many workers over one memory. */
export function limiters(settings: ConcurrencySettings, workers = 1): ConcurrencyLimiter[] {
  const service = new SharedArrayBuffer(serviceBytes(workers));
  const memory = new SharedArrayBuffer(concurrencyBytes);
  return Array.from(
    { length: workers },
    (_, index) => new ConcurrencyLimiter(settings, memory, new ServiceLoad(service, index + 1, workers)),
  );
}

/** Runs a scenario from event to event. Requests go to the workers' limiters in turn. */
export function simulate(scenario: Scenario, workers: readonly ConcurrencyLimiter[]): Outcome {
  return new Simulation(scenario, workers).run();
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #workers: readonly ConcurrencyLimiter[];
  readonly #random: () => number;
  readonly #events = new Events();
  readonly #queue: Request[] = [];
  #queueAt = 0;
  #busy = 0;
  #arrivals = 0;
  #nowMs = 0;
  readonly #outcome: Outcome = { good: [], refused: [], limits: [] };

  constructor(scenario: Scenario, workers: readonly ConcurrencyLimiter[]) {
    this.#scenario = scenario;
    this.#workers = workers;
    this.#random = seededRandom(scenario.seed ?? 1);
  }

  run(): Outcome {
    this.#events.add({ atMs: 0, what: "second" });
    this.#events.add({ atMs: 0, what: "arrival" });
    for (let event = this.#events.next(); event.atMs < this.#scenario.seconds * 1_000; event = this.#events.next()) {
      this.#nowMs = event.atMs;
      if (event.what === "second") this.#second();
      else if (event.what === "arrival") this.#arrive();
      else if (event.what === "done") this.#done(event.request);
      else this.#close(event.request, "dropped");
    }
    return this.#outcome;
  }

  #second(): void {
    this.#events.add({ atMs: this.#nowMs + 1_000, what: "second" });
    this.#outcome.good.push(0);
    this.#outcome.refused.push(0);
    this.#outcome.limits.push(this.#workers[0]?.limit() ?? 0);
    this.#work(); // the servers may have become more
  }

  #arrive(): void {
    this.#events.add({ atMs: this.#nowMs + this.#exponential(1_000 / this.#scenario.perSecond), what: "arrival" });
    const limiter = this.#workers[this.#arrivals++ % this.#workers.length];
    if (limiter?.acquire(this.#nowMs) !== true) {
      this.#count(this.#outcome.refused);
      return;
    }
    const request = { atMs: this.#nowMs, limiter, open: true };
    this.#queue.push(request);
    this.#events.add({ atMs: this.#nowMs + this.#scenario.deadlineMs, what: "deadline", request });
    this.#work();
  }

  #done(request: Request): void {
    this.#busy--;
    if (this.#close(request, "success")) this.#count(this.#outcome.good);
    this.#work();
  }

  #close(request: Request, outcome: "success" | "dropped"): boolean {
    if (!request.open) return false;
    request.open = false;
    request.limiter.release(outcome, this.#nowMs - request.atMs, this.#nowMs);
    return true;
  }

  #work(): void {
    const servers = this.#scenario.servers(this.#nowMs);
    while (this.#busy < servers && this.#queueAt < this.#queue.length) {
      const request = this.#queue[this.#queueAt++];
      if (request === undefined) return;
      this.#busy++;
      this.#events.add({ atMs: this.#nowMs + this.#serviceMs(servers), what: "done", request });
    }
    if (this.#queueAt < 1_000) return;
    this.#queue.splice(0, this.#queueAt);
    this.#queueAt = 0;
  }

  #serviceMs(servers: number): number {
    const { serviceMs, spread = "exponential", thrashing = 0 } = this.#scenario;
    let ms = 0;
    if (spread === "exponential") ms = this.#exponential(serviceMs);
    else for (let part = 0; part < 4; part++) ms += this.#exponential(serviceMs / 4);
    const over = this.#busy + this.#queue.length - this.#queueAt - servers;
    return ms * (1 + (thrashing * Math.max(0, over)) / servers);
  }

  #exponential(mean: number): number {
    return -mean * Math.log(1 - this.#random());
  }

  #count(bySecond: number[]): void {
    bySecond[bySecond.length - 1] = (bySecond.at(-1) ?? 0) + 1;
  }
}

/** A binary heap. */
class Events {
  readonly #heap: Event[] = [];

  add(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#atMs(parent) <= event.atMs) break;
      heap[at] = this.#get(parent);
      at = parent;
    }
    heap[at] = event;
  }

  next(): Event {
    const heap = this.#heap;
    const first = this.#get(0);
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#atMs(child + 1) < this.#atMs(child)) child++;
      if (last.atMs <= this.#atMs(child)) break;
      heap[at] = this.#get(child);
      at = child;
    }
    heap[at] = last;
    return first;
  }

  #get(at: number): Event {
    const event = this.#heap[at];
    if (event === undefined) throw new Error("a simulation never runs out of events");
    return event;
  }

  #atMs(at: number): number {
    return this.#get(at).atMs;
  }
}
