import { randomBytes } from "node:crypto";
import type net from "node:net";
import type { GatewaySettings } from "@headgate/schema";
import type { Clock, Random } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { EventLoop } from "../core/event-loop.ts";
import type { Log } from "../core/log.ts";
import { compileNetworks } from "../core/networks.ts";
import type { Timers } from "../core/timers.ts";
import { Wheel, WheelTimer } from "../core/wheel.ts";
import type { GaugeHandle, Metrics } from "../telemetry/metrics.ts";
import type { ForwardContext } from "./attempt.ts";
import { ForwardRun } from "./forward.ts";
import type { Chain } from "./compose.ts";
import { Finisher } from "./finish.ts";
import { ClientConnection } from "./http1/client-connection.ts";
import type { HeadLimits } from "./http1/grammar.ts";
import type { ServerContext } from "./http1/server-context.ts";
import type { ServerExchange } from "./http1/server-exchange.ts";
import type { Listener } from "./listen.ts";
import { listen } from "./listen.ts";
import { authorStack, loadPlugin } from "./load-plugin.ts";
import { matchRoute } from "./match.ts";
import type { QueueToWorker } from "./message.ts";
import type { LimiterState, LogSink, MiddlewareDefinition } from "./middleware.ts";
import { Shedder } from "./overload.ts";
import { Recent, recentRequestsMax } from "./recent.ts";
import type { RecentRequests } from "./recent.ts";
import { refusal } from "./respond.ts";
import type { ForwardTo } from "./route.ts";
import type { AheadRoute } from "./routes-ahead.ts";
import type { Prepared, SnapshotChange } from "./snapshot.ts";
import { Live } from "./snapshot.ts";
import type { UpstreamEvent } from "./upstream/events.ts";
import { Instances } from "./upstream/instances.ts";
import { WorkerQueue, type QueueAccess } from "./worker-queue.ts";

/** What a proxy gets from the thread it runs in. */
export interface ProxyOptions {
  readonly settings: GatewaySettings;
  readonly workerId: number;
  /** How many proxies share the listening addresses. */
  readonly workers: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limiter: LimiterState;
  /** Shared by all workers; [0] counts open client connections. */
  readonly connectionCount: Int32Array;
  readonly accessLog: LogSink;
  readonly middlewares: ReadonlyMap<string, MiddlewareDefinition>;
  readonly fetchJson: (url: string) => Promise<unknown>;
  /** Hears of breakers and ejections that this thread changed. */
  readonly onUpstream: (event: UpstreamEvent) => void;
  /** Of the thread it runs in. */
  readonly loop: EventLoop;
  /** Where requests of routes with `delivery` go. */
  readonly queue: QueueAccess;
}

const wheelTickMs = 50;
/** How long a connection over the limit may take to read why it is refused. */
const turnAwayMs = 1_000;

/** The life of a request in one thread: listens, matches, runs the chain, forwards, answers. */
export class Proxy implements ServerContext {
  readonly clock: Clock;
  readonly wheel: Wheel;
  readonly limits: HeadLimits;
  readonly timeouts: GatewaySettings["timeouts"];
  readonly trusted: (ip: string) => boolean;
  readonly makeId: () => string;
  draining = false;
  readonly #options: ProxyOptions;
  readonly #live: Live;
  readonly #instances: Instances;
  readonly #finisher: Finisher;
  readonly #recent: Recent;
  readonly #connections = new Set<ClientConnection>();
  readonly #listeners: Listener[] = [];
  readonly #stopWheel: () => void;
  readonly #shedder: Shedder | undefined;
  readonly #forward: ForwardTo;
  readonly #queue: WorkerQueue;
  readonly #connectionGauges: { readonly active: GaugeHandle; readonly idle: GaugeHandle };
  #unmatched: { readonly generation: number; readonly chain: (error: GatewayError) => Chain } | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: ProxyOptions) {
    const { settings, clock, metrics, random } = options;
    this.#options = options;
    this.clock = clock;
    this.timeouts = settings.timeouts;
    this.limits = {
      headBytes: settings.limits.requestHeadBytes,
      headers: settings.limits.headers,
      uriBytes: settings.limits.uriBytes,
    };
    this.trusted = settings.trustedProxies.length === 0 ? () => false : compileNetworks(settings.trustedProxies);
    this.makeId = idMaker();
    this.wheel = new Wheel(clock.now(), wheelTickMs);
    this.#shedder = settings.overload && new Shedder(settings.overload, options);
    this.#stopWheel = options.timers.every(wheelTickMs, () => this.wheel.advance(clock.now()));
    const { workers, workerId } = options;
    this.#instances = new Instances({
      clock,
      random,
      wheel: this.wheel,
      metrics,
      workers,
      workerId,
      zone: settings.zone,
      onEvent: options.onUpstream,
    });
    this.#finisher = new Finisher(metrics);
    this.#recent = new Recent(Math.ceil(recentRequestsMax / Math.max(1, options.workers)));
    const connections = (state: string) => metrics.gauge("connections", { state });
    this.#connectionGauges = { active: connections("active"), idle: connections("idle") };
    this.#live = new Live(
      this.#instances,
      { kit: (identity) => this.#kit(identity) },
      options.middlewares,
      ({ module, sha256 }) => {
        if (module === undefined || sha256 === undefined) throw new Error("the plugin was not bundled");
        return loadPlugin(module, sha256);
      },
    );
    const context: ForwardContext = {
      clock,
      random,
      wheel: this.wheel,
      after: (ms, action) => options.timers.after(ms, action),
      countRetry: (service, reason) => metrics.counter("retries_total", { service, reason }).add(1),
    };
    this.#forward = (exchange, service, hooks) => {
      const { carrier } = exchange;
      if (carrier === undefined) return Promise.reject(new GatewayError("HG_INTERNAL"));
      // The client went away, or the time was over, while a step was still at work.
      if (carrier.over) return Promise.reject(exchange.error ?? new GatewayError("HG_CLIENT_CLOSED"));
      carrier.run?.abort(new GatewayError("HG_CLIENT_CLOSED"));
      const run = new ForwardRun(exchange, carrier, service, hooks, context);
      carrier.run = run;
      return run.start();
    };
    this.#queue = new WorkerQueue({
      ...options.queue,
      live: this.#live,
      forward: this.#forward,
      clock,
      wheel: this.wheel,
      makeId: this.makeId,
      log: options.log,
      onIdle: () => this.#mayRest(),
    });
  }

  /** Listens on the configured addresses; resolves with what is bound. */
  async listen(reusePort: boolean): Promise<{ address: string; port: number }[]> {
    for (const { address } of this.#options.settings.listen) {
      this.#listeners.push(await listen(address, reusePort, (socket) => this.#accept(socket)));
    }
    return this.#listeners.map(({ address, port }) => ({ address, port }));
  }

  /** Builds a change; throws an Error that names the resource, and then nothing has changed. */
  prepare(change: SnapshotChange): Promise<Prepared> {
    return this.#live.prepare(change);
  }

  /** Makes routes ready that the next change will probably set. */
  ahead(routes: readonly AheadRoute[]): void {
    this.#live.ahead.add(routes);
  }

  /** What was made ready was needed, or will not be. */
  forgetAhead(): void {
    this.#live.ahead.clear();
  }

  /** Makes it live, at once and as a whole. */
  commit(prepared: Prepared): void {
    prepared.commit();
  }

  /** The revision that is live. */
  get revision(): number {
    return this.#live.revision;
  }

  /** The last requests it has looked for a route for; for the control thread. */
  recent(): RecentRequests {
    return this.#recent.tell(this.#live.lookedAt);
  }

  /** What the control thread says about messages. */
  receive(message: QueueToWorker): void {
    this.#queue.receive(message);
  }

  /** Stops accepting, ends idle connections, lets exchanges and deliveries finish; after `timeoutMs` closes what is left. */
  drain(timeoutMs: number): Promise<void> {
    this.draining = true;
    for (const listener of this.#listeners) listener.close();
    for (const connection of [...this.#connections]) connection.drain();
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.timers.after(timeoutMs, () => {
        for (const connection of [...this.#connections]) connection.destroy();
        resolve();
      });
      this.#onIdle = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Closes everything at once. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const connection of [...this.#connections]) connection.destroy();
    this.#instances.close();
    this.#stopWheel();
    this.#shedder?.close();
  }

  handle(carrier: ServerExchange): void {
    const { exchange } = carrier;
    exchange.startedWallMs = this.clock.wall();
    exchange.consumers = this.#live.consumers;
    this.#recent.note(exchange.request, exchange.client, exchange.startedWallMs, this.#live.lookedAt);
    const matched = matchRoute(this.#live.router, exchange);
    const { route } = matched;
    carrier.route = route;
    exchange.importance = route?.resource.importance;
    if (route !== undefined && this.#shedder?.refuses(exchange.importance, exchange.startedMs) === true) {
      const { refusal } = this.#shedder;
      // Not at once: a flood of pipelined requests would go as deep as it is long.
      queueMicrotask(() => carrier.fail(refusal));
      return;
    }
    carrier.epoch = this.#live.enter();
    this.#connectionGauges.active.add(1);
    this.#connectionGauges.idle.add(-1);
    const limitMs = Math.min(route?.timeoutMs ?? Infinity, carrier.awaitedMs);
    if (limitMs !== Infinity) carrier.limitTime(limitMs);
    const { random } = this.#options;
    try {
      let chain: Chain;
      if (!("error" in matched)) chain = matched.route.chain(this.#forward, random, this.#queue.enqueue);
      else if (route !== undefined) chain = route.chainTo(() => Promise.reject(matched.error));
      else chain = this.#unmatchedChain(matched.error);
      chain(exchange).then(
        () => this.#answer(carrier),
        (error: unknown) => this.#failed(carrier, error),
      );
    } catch (error) {
      // A step that returns something else than a promise, or a condition that throws.
      this.#failed(carrier, error);
    }
  }

  /** What a step left on the answer may be anything; it costs the exchange and never the thread. */
  #answer(carrier: ServerExchange): void {
    try {
      carrier.answer();
    } catch (error) {
      this.#failed(carrier, error);
      carrier.abort(new GatewayError("HG_INTERNAL", { cause: error }));
    }
  }

  finished(carrier: ServerExchange): void {
    const { exchange, epoch } = carrier;
    this.#finisher.count(exchange, carrier.route, this.clock.now());
    exchange.runFinishers((error) =>
      this.#options.log.error({ err: error, route: exchange.routeName }, "A middleware's onFinish failed."),
    );
    if (epoch === undefined) return;
    this.#live.leave(epoch);
    this.#connectionGauges.active.add(-1);
    this.#connectionGauges.idle.add(1);
  }

  refused(code: ErrorCode): void {
    this.#finisher.countRefused(code);
  }

  closed(connection: ClientConnection): void {
    if (!this.#connections.delete(connection)) return;
    Atomics.sub(this.#options.connectionCount, 0, 1);
    this.#connectionGauges.idle.add(-1);
    this.#mayRest();
  }

  get #isIdle(): boolean {
    return this.#connections.size === 0 && this.#queue.active === 0;
  }

  #mayRest(): void {
    if (this.draining && this.#isIdle) this.#onIdle?.();
  }

  #accept(socket: net.Socket): void {
    const open = Atomics.add(this.#options.connectionCount, 0, 1) + 1;
    if (open > this.#options.settings.limits.connections) {
      Atomics.sub(this.#options.connectionCount, 0, 1);
      this.refused("HG_OVERLOADED");
      this.#turnAway(socket);
      return;
    }
    this.#connectionGauges.idle.add(1);
    this.#connections.add(new ClientConnection(this, socket, "http"));
  }

  /** Tells why and closes. What the client sends meanwhile is read, or the close would reset the answer away. */
  #turnAway(socket: net.Socket): void {
    const timer = new WheelTimer(() => socket.destroy());
    this.wheel.arm(timer, this.clock.now() + turnAwayMs);
    socket.on("error", () => {});
    socket.on("close", () => this.wheel.disarm(timer));
    socket.on("end", () => socket.destroySoon());
    socket.end(refusal("HG_OVERLOADED", "Too many connections.", this.makeId(), this.clock.wall()));
    socket.resume();
  }

  #failed(carrier: ServerExchange, error: unknown): void {
    if (!(error instanceof GatewayError) || error.code === "HG_INTERNAL") {
      const { routeName, id } = carrier.exchange;
      if (error instanceof Error && error.stack !== undefined) error.stack = authorStack(error.stack);
      this.#options.log.error({ err: error, route: routeName, requestId: id }, "A step of the chain failed.");
    }
    carrier.fail(error);
  }

  /** The global chain in front of 404 and 405: they are logged and get their request id like any other answer. */
  #unmatchedChain(error: GatewayError): Chain {
    if (this.#unmatched?.generation !== this.#live.generation) {
      const steps = this.#live.unmatchedChain();
      this.#unmatched = { generation: this.#live.generation, chain: steps };
    }
    return this.#unmatched.chain(error);
  }

  #kit(identity: string) {
    const { clock, random, log, limiter, accessLog, settings, metrics, fetchJson } = this.#options;
    return {
      identity,
      clock,
      random,
      log,
      limiter,
      accessLog,
      fetchJson,
      accessLogFormat: settings.accessLog.format,
      counter: (name: string, labels: Readonly<Record<string, string>>) => metrics.counter(name, labels),
    };
  }
}

/** Ids are unique, not secret: a random start for each thread and a count. 32 hexadecimal digits, as a trace id has. */
function idMaker(): () => string {
  const prefix = randomBytes(10).toString("hex");
  let count = Math.floor(randomBytes(4).readUInt32BE() / 2);
  return () => prefix + (count = (count + 1) % 0x1_0000_0000_0000).toString(16).padStart(12, "0");
}
