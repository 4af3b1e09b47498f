import type { BalanceSettings } from "@headgate/schema";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import { FakeInstance } from "./balancer.fixtures.ts";
import { createBalancer, type BalancerOptions } from "./balancer.ts";

/** How an instance treats a request that it gets. */
export interface Treatment {
  /** Until the head, once it is the request's turn. Infinity: no answer; the attempt ends at the timeout. */
  readonly ms: number;
  readonly failed?: boolean;
}

export interface Simulation {
  readonly settings: BalanceSettings;
  readonly perSecond: number;
  readonly seconds: number;
  readonly seed?: number;
  /** What the instance does with a request that it starts on at this time. `mean` ms are exponential service times. */
  readonly treat: (instance: number, nowMs: number, random: () => number) => Treatment;
  readonly weights?: readonly number[];
  /** Requests that an instance works on at a time; others wait in it. */
  readonly servers?: number;
  readonly timeoutMs?: number;
  readonly options?: Partial<BalancerOptions>;
  /** Before each pick. */
  readonly before?: (instances: readonly FakeInstance[], nowMs: number) => void;
}

/** One request of a simulation. */
export interface Simulated {
  readonly atMs: number;
  readonly instance: number;
  readonly latencyMs: number;
  readonly failed: boolean;
}

interface Request {
  readonly atMs: number;
  readonly instance: number;
  answered: boolean;
}

/**
 * Requests that arrive at random (Poisson) at instances that have a queue and so many servers each, in time that is
 * counted and not waited for. The seed decides everything.
 */
export function simulate(simulation: Simulation): Simulated[] {
  const { settings, perSecond, seconds, treat, servers = 1_000, timeoutMs = 15_000 } = simulation;
  const random = seededRandom(simulation.seed ?? 1);
  const instances = (simulation.weights ?? [1, 1, 1, 1, 1]).map((weight, i) => new FakeInstance(`i${i}:80`, weight));
  const options = { random, preferZone: true, panicThreshold: 0.5, ...simulation.options };
  const balancer = createBalancer(settings, instances, options);
  const events = new Events();
  const done: Simulated[] = [];
  const busy = instances.map(() => 0);
  const queues = instances.map((): Request[] => []);

  const finish = (request: Request, nowMs: number, failed: boolean): void => {
    if (request.answered) return;
    request.answered = true;
    const { load } = instances[request.instance] as FakeInstance; // a request has one of them
    const latencyMs = nowMs - request.atMs;
    if (failed) load.penalize(undefined, latencyMs, nowMs);
    else load.observe(latencyMs, nowMs);
    load.end(!failed);
    done.push({ atMs: request.atMs, instance: request.instance, latencyMs, failed });
  };
  const start = (request: Request, nowMs: number): void => {
    const i = request.instance;
    busy[i] = (busy[i] ?? 0) + 1;
    const { ms, failed = false } = treat(i, nowMs, random);
    if (ms === Infinity) return;
    events.add(nowMs + ms, (atMs) => {
      finish(request, atMs, failed);
      busy[i] = (busy[i] ?? 0) - 1;
      const next = queues[i]?.shift();
      if (next !== undefined) start(next, atMs);
    });
  };
  const arrive = (nowMs: number): void => {
    simulation.before?.(instances, nowMs);
    const picked = balancer.pick({ nowMs, excluded: undefined, key: undefined });
    if (picked !== undefined) {
      const request = { atMs: nowMs, instance: instances.indexOf(picked), answered: false };
      picked.load.begin(nowMs);
      events.add(nowMs + timeoutMs, (atMs) => {
        finish(request, atMs, true);
      });
      if ((busy[request.instance] ?? 0) < servers) start(request, nowMs);
      else queues[request.instance]?.push(request);
    }
    const nextMs = nowMs - (Math.log(1 - random()) * 1000) / perSecond;
    if (nextMs < seconds * 1000) events.add(nextMs, arrive);
  };
  events.add(0, arrive);
  events.run();
  return done.sort((a, b) => a.atMs - b.atMs);
}

/** An exponential service time. */
export function exponential(meanMs: number, random: () => number): number {
  return -Math.log(1 - random()) * meanMs;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** What happens when, in order: a binary heap. */
class Events {
  readonly #heap: { readonly atMs: number; readonly run: (atMs: number) => void }[] = [];

  add(atMs: number, run: (atMs: number) => void): void {
    const heap = this.#heap;
    const event = { atMs, run };
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || parent.atMs <= atMs) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = event;
  }

  run(): void {
    for (let first = this.#take(); first !== undefined; first = this.#take()) first.run(first.atMs);
  }

  #take(): { readonly atMs: number; readonly run: (atMs: number) => void } | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      const left = heap[below];
      if (left === undefined) break;
      const right = heap[below + 1];
      const least = right !== undefined && right.atMs < left.atMs ? right : left;
      if (least === right) below++;
      if (least.atMs >= last.atMs) break;
      heap[place] = least;
      place = below;
    }
    heap[place] = last;
    return first;
  }
}
