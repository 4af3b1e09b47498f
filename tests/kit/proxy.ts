import type { GatewaySettings, OverloadSettings, RouteResource, ServiceResource } from "@headgate/schema";
import { z } from "zod";
import type { Log } from "../../packages/gateway/src/core/log.ts";
import type { Exchange } from "../../packages/gateway/src/proxy/exchange.ts";
import { defineMiddleware } from "../../packages/gateway/src/proxy/middleware.ts";
import type { BuiltMiddleware, Middleware } from "../../packages/gateway/src/proxy/middleware.ts";
import { Proxy } from "../../packages/gateway/src/proxy/proxy.ts";
import type { QueueFromWorker, QueueToWorker } from "../../packages/gateway/src/proxy/message.ts";
import type { RecentRequests } from "../../packages/gateway/src/proxy/recent.ts";
import type { SnapshotChange } from "../../packages/gateway/src/proxy/snapshot.ts";
import { Metrics } from "../../packages/gateway/src/telemetry/metrics.ts";
import type { CounterHandle, GaugeHandle } from "../../packages/gateway/src/telemetry/metrics.ts";
import { InstanceLoad } from "../../packages/gateway/src/proxy/upstream/balancer/instance-load.ts";
import { Breaker } from "../../packages/gateway/src/proxy/upstream/breaker/breaker.ts";
import type { UpstreamEvent } from "../../packages/gateway/src/proxy/upstream/events.ts";
import type { ServiceMemory } from "../../packages/gateway/src/proxy/upstream/memory.ts";
import { instanceLayout, serviceLayout, serviceMemory } from "../../packages/gateway/src/proxy/upstream/memory.ts";
import { ServiceLoad } from "../../packages/gateway/src/proxy/upstream/service-load.ts";
import type { Scope } from "./scope.ts";
import { waitFor } from "./wait.ts";

/** Gauges and counters whose values a test can read. */
class ReadableMetrics extends Metrics {
  readonly values = new Map<string, number>();
  readonly counts: { readonly name: string; readonly labels: Readonly<Record<string, string>>; value: number }[] = [];

  override counter(name: string, labels: Readonly<Record<string, string>> = {}): CounterHandle {
    const handle = super.counter(name, labels);
    const count = { name, labels, value: 0 };
    this.counts.push(count);
    return {
      add: (amount: number) => {
        count.value += amount;
        handle.add(amount);
      },
    };
  }

  override gauge(name: string, labels: Readonly<Record<string, string>> = {}): GaugeHandle {
    const handle = super.gauge(name, labels);
    const key = `${name} ${labels["state"] ?? ""}`;
    this.values.set(key, this.values.get(key) ?? 0);
    return {
      add: (amount: number) => {
        this.values.set(key, (this.values.get(key) ?? 0) + amount);
        handle.add(amount);
      },
    } as GaugeHandle; // what the proxy uses of it
  }
}

export interface ProxyInit {
  /** `host:port` of the only instance of the only service; none: there is no service. */
  readonly instance?: string;
  /** The same for several. */
  readonly instances?: readonly string[];
  /** The only step of the route. */
  readonly step?: Middleware | BuiltMiddleware;
  readonly route?: Partial<RouteResource>;
  readonly service?: Partial<ServiceResource>;
  readonly timeouts?: Partial<GatewaySettings["timeouts"]>;
  readonly limits?: Partial<GatewaySettings["limits"]>;
  readonly trustedProxies?: readonly string[];
  /** Where it stands. */
  readonly zone?: string;
  /** By default always 0. */
  readonly random?: () => number;
  /** What is to happen after a time happens when the test lets it pass; else at the next turn. */
  readonly timersWait?: boolean;
  /** When it refuses requests at the door; none: never. Its event loop counts as busy all the time. */
  readonly overload?: OverloadSettings | undefined;
  /** The control thread's side of the queue. */
  readonly queue?: (message: QueueFromWorker) => void;
  readonly queueKey?: Uint8Array | undefined;
}

/** A proxy within the test's own thread: the test owns its clock, its steps are functions of the test. */
export interface ProxyUnderTest {
  readonly port: number;
  /** Exchanges that are over, in order of their ends. */
  readonly finished: Exchange[];
  /** What was logged as an error: the causes' messages. */
  readonly logged: string[];
  /** What changed of breakers and ejections. */
  readonly events: UpstreamEvent[];
  /** Lets that much time pass, tick by tick. */
  pass(ms: number): void;
  /** Lets that much time pass before the thread comes to what it has sent itself. */
  hold(ms: number): void;
  /** Waits until no connection of either side is open, by the gauges. */
  atRest(): Promise<void>;
  gauge(key: string): number;
  /** The sum of a counter's series that have these labels. */
  count(name: string, labels?: Readonly<Record<string, string>>): number;
  /** What the threads of a gateway would share of the service. */
  readonly memory: ServiceMemory;
  /** Exchanges, attempts and retries that are counted as being under way in that memory. */
  underWay(): number;
  /** The breaker of an instance, or of the service, as the control thread sees it. */
  breaker(address: string | undefined): Breaker;
  /** Brings the service live with these settings, and what it was started with. */
  change(service: Partial<ServiceResource>): Promise<void>;
  /** Milliseconds of its clock. */
  now(): number;
  /** What it remembers of requests. */
  recent(): RecentRequests;
  /** What the control thread says about messages. */
  receive(message: QueueToWorker): void;
  drain(timeoutMs: number): Promise<void>;
  /** Brings a change live. */
  apply(change: Omit<SnapshotChange, "revision">): Promise<void>;
}

export async function startProxy(scope: Scope, init: ProxyInit): Promise<ProxyUnderTest> {
  let now = 1_000_000;
  let tick = (): void => {};
  const metrics = new ReadableMetrics(() => {});
  const finished: Exchange[] = [];
  const logged: string[] = [];
  const events: UpstreamEvent[] = [];
  const note = (fields: object, message: string): void => {
    const { err } = fields as { err?: { message?: string; cause?: { message?: string } } }; // as the proxy logs it
    logged.push(`${message} ${err?.cause?.message ?? err?.message ?? ""}`);
  };
  const log: Log = { debug() {}, info() {}, warn() {}, error: note };
  const echoes: (() => void)[] = [];
  const waiting = new Set<{ readonly atMs: number; readonly action: () => void }>();
  const service = serviceOf(init);
  let memory = serviceMemory(service, 1);
  const proxy = new Proxy({
    settings: settingsOf(init),
    workerId: 1,
    workers: 1,
    clock: { now: () => now, wall: () => 1_700_000_000_000 + now },
    timers: {
      after: (ms, action) => {
        if (init.timersWait === true) {
          const timer = { atMs: now + ms, action };
          waiting.add(timer);
          return () => void waiting.delete(timer);
        }
        const handle = setImmediate(action);
        return () => clearImmediate(handle);
      },
      every: (_, action) => {
        tick = action;
        return () => {};
      },
    },
    random: init.random ?? (() => 0),
    log,
    metrics,
    limiter: { take: () => ({ allowed: true, remaining: 1, retryAfterUs: 0, resetAfterUs: 0 }) },
    connectionCount: new Int32Array(new SharedArrayBuffer(4)),
    accessLog: { write() {} },
    middlewares: new Map([
      ["under-test", defineMiddleware({ name: "under-test", config: z.any(), build: () => init.step ?? pass })],
      ["watch", defineMiddleware({ name: "watch", config: z.any(), build: () => watch(finished) })],
    ]),
    onUpstream: (event) => void events.push(event),
    fetchJson: () => Promise.reject(new Error("no network here")),
    loop: { utilization: () => 1, echo: (received) => ({ send: () => void echoes.push(received), close() {} }) },
    queue: { post: (message) => init.queue?.(message), ...(init.queueKey === undefined ? {} : { key: init.queueKey }) },
  });
  scope.after(() => proxy.close());
  const prepared = await proxy.prepare({
    revision: 1,
    global: [{ name: "watch", settings: {} }],
    routes: { set: { all: routeOf(init) }, delete: [] },
    services: { set: service.instances.length === 0 ? {} : { s: service }, delete: [] },
    memories: { s: memory },
  });
  proxy.commit(prepared);
  const [bound] = await proxy.listen(false);
  return {
    port: bound?.port ?? 0,
    finished,
    logged,
    events,
    pass: (ms) => {
      for (const until = now + ms; now < until;) {
        now += 50;
        tick();
        for (const timer of waiting) {
          if (timer.atMs <= now && waiting.delete(timer)) timer.action();
        }
      }
    },
    hold: (ms) => {
      now += ms;
      for (const received of echoes.splice(0)) received();
    },
    gauge: (key) => metrics.values.get(key) ?? 0,
    count: (name, labels = {}) =>
      metrics.counts
        .filter(
          (count) => count.name === name && Object.entries(labels).every(([key, value]) => count.labels[key] === value),
        )
        .reduce((sum, { value }) => sum + value, 0),
    get memory() {
      return memory;
    },
    breaker: (address) => breakerOf(memory, address),
    change: async (settings) => {
      const changed = serviceOf({ ...init, service: { ...init.service, ...settings } });
      memory = serviceMemory(changed, 1, memory);
      const services = { set: { s: changed }, delete: [] };
      proxy.commit(await proxy.prepare({ revision: 2, services, memories: { s: memory } }));
    },
    underWay: () => underWay(memory),
    now: () => now,
    recent: () => proxy.recent(),
    receive: (message) => proxy.receive(message),
    drain: (timeoutMs) => proxy.drain(timeoutMs),
    apply: async (change) => proxy.commit(await proxy.prepare({ revision: 2, ...change })),
    atRest: async () => {
      await waitFor(() => [...metrics.values].every(([key, value]) => key.endsWith("idle") || value === 0), {
        what: () => `no active connection: ${JSON.stringify([...metrics.values])}`,
      });
    },
  };
}

/** Seen from the cells of the control thread, which count nothing themselves. */
function underWay({ service, instances }: ServiceMemory): number {
  const { active, retries, slots } = new ServiceLoad(service, 0, 1);
  const attempts = Object.values(instances).map((memory) => new InstanceLoad(memory, 0, 1));
  return attempts.reduce((sum, load) => sum + load.active() + load.awaiting(), active + retries + slots);
}

function breakerOf({ service, instances }: ServiceMemory, address: string | undefined): Breaker {
  if (address === undefined) return new Breaker(service, serviceLayout.breaker, () => 0);
  const memory = instances[address];
  if (memory === undefined) throw new Error(`${address} is no instance`);
  return new Breaker(memory, instanceLayout.breaker, () => 0);
}

const pass: Middleware = (_, next) => next();

function watch(finished: Exchange[]): Middleware {
  return (exchange, next) => {
    exchange.onFinish(() => finished.push(exchange));
    return next();
  };
}

function routeOf({ instance, instances = [], route }: ProxyInit): RouteResource {
  const destination = instance === undefined && instances.length === 0 ? undefined : [{ service: "s", weight: 1 }];
  return {
    match: [{ path: "/*" }],
    use: [{ name: "under-test", settings: {} }],
    priority: 0,
    ...(destination === undefined ? { respond: { status: 200, headers: {}, body: "own" } } : { to: destination }),
    ...route,
  };
}

function serviceOf({ instance, instances = [], service }: ProxyInit): ServiceResource {
  const addresses = instance === undefined ? instances : [instance, ...instances];
  return {
    instances: addresses.map((address) => ({ address, weight: 1 })),
    protocol: "http",
    balance: { policy: "round-robin" },
    use: [],
    timeouts: { connectMs: 2_000, firstByteMs: 15_000, idleMs: 60_000 },
    retry: { attempts: 0, on: [], budgetRatio: 0, backoffMs: 0 },
    pool: { max: 16, idleMs: 60_000 },
    ...service,
  };
}

function settingsOf({ timeouts, limits, overload, zone, trustedProxies = [] }: ProxyInit): GatewaySettings {
  return {
    ...(zone === undefined ? {} : { zone }),
    ...(overload === undefined ? {} : { overload }),
    listen: [{ address: "127.0.0.1:0" }],
    admin: { address: "" },
    workers: 1,
    dataDir: "",
    trustedProxies,
    timeouts: { requestHeadMs: 10_000, requestBodyIdleMs: 30_000, keepAliveMs: 75_000, drainMs: 1_000, ...timeouts },
    limits: { requestHeadBytes: 32_768, headers: 100, uriBytes: 8_192, connections: 100, ...limits },
    registry: { prefix: "/services/" },
    accessLog: { path: "-", format: "off" },
  };
}
