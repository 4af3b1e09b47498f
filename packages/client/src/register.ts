import { systemTime } from "./core/time.ts";
import { waitForQuiet } from "./drain.ts";
import { EtcdRegistry } from "./etcd-registry.ts";
import { GatewayRegistry } from "./gateway-registry.ts";
import { startHealth } from "./health.ts";
import { processMeter, type Meter } from "./meter.ts";
import type { Registry } from "./registry.ts";
import { sendInTurn } from "./send.ts";
import { Session, type Log, type RegistrationState } from "./session.ts";
import { readSettings, type EtcdTarget, type GatewayTarget, type Settings } from "./settings.ts";
import { leaveOnSignal } from "./signals.ts";

export interface RegisterOptions {
  /** The service's name, as in the gateways' configuration. */
  readonly service: string;
  /** `host:port` at which the gateways reach this instance. */
  readonly address: string;
  /** Share of the service's requests beside the other instances' weights; 0 takes none. Default 1. */
  readonly weight?: number;
  readonly zone?: string;
  readonly version?: string;
  /** How long the registration outlives this process if it dies: `"10s"`, or milliseconds. From 1 s; default 10 s. */
  readonly ttl?: string | number;
  readonly to: EtcdTarget | GatewayTarget;
  /** Reports CPU, memory, latency and event-loop delay, every 5 s unless said otherwise. Default: no reports. */
  readonly health?: true | { readonly intervalMs: number };
  /** Drains at SIGTERM and SIGINT before the process ends; a second signal ends it at once. Default true. */
  readonly signals?: boolean;
  /** Closed after the draining at a signal: a `node:http` server, or a Fastify application. */
  readonly server?: Closable;
  /** Called after the draining at a signal, and after `server` is closed. */
  readonly onDrained?: () => void | Promise<void>;
  /** Longest draining, milliseconds. Default 5000. */
  readonly drainMs?: number;
  /** How long gateways get to see that this instance drains before `inFlight` may end it. Default 1000. */
  readonly noticeMs?: number;
  /** Requests under way. Default: what the hooks count; without one, draining takes all of `drainMs`. */
  readonly inFlight?: () => number;
  /** Default: the meter that all hooks share. */
  readonly meter?: Meter;
  /** Default: warnings to standard error. */
  readonly log?: Log;
}

interface Closable {
  close(closed: () => void): unknown;
}

/** An instance that is kept announced. Nothing of it throws, and nothing of it keeps the process alive. */
export interface Registration {
  readonly state: RegistrationState;
  /** Calls `listener` at every change of `state`. Returns how to stop that. */
  onState(listener: (state: RegistrationState) => void): () => void;
  /** Announces that the instance drains, waits for the requests under way, deregisters. Once, however often called. */
  drain(): Promise<void>;
  /** Deregisters at once. */
  end(): Promise<void>;
}

/** After this the signal ends the process with connections open. */
const closeMaxMs = 10_000;

/**
 * Announces this process as an instance of a service and keeps it announced, whatever happens to the registry. Resolves
 * when the first try has come out: see `state`; one that failed is repeated. Rejects only with a TypeError, for options
 * that can never work.
 */
export async function register(options: RegisterOptions): Promise<Registration> {
  const settings = readSettings(options);
  const { meter = processMeter, log = warn } = options;
  const { service, address, announcement, ttlMs, healthIntervalMs } = settings;
  const session = new Session({
    registry: registryOf(settings),
    announcement,
    ttlMs,
    time: systemTime,
    log,
    name: `${service} at ${address}`,
  });
  const stopHealth =
    healthIntervalMs === undefined
      ? undefined
      : startHealth({
          ...{ service, address, intervalMs: healthIntervalMs, meter, time: systemTime },
          status: () => (session.state === "draining" ? "DRAINING" : "UP"),
          send: (report) => session.report(report),
        });

  let leaving: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    forget?.();
    stopHealth?.();
    await session.end();
  };
  const drain = async (): Promise<void> => {
    const told = session.announceDraining();
    const inFlight = options.inFlight ?? (meter.isUsed ? () => meter.inFlight : undefined);
    const { drainMs, noticeMs } = settings;
    await waitForQuiet({ time: systemTime, drainMs, noticeMs, inFlight, told });
    await end();
  };
  const leaveOnce = (): Promise<void> => (leaving ??= session.state === "ended" ? Promise.resolve() : drain());
  const forget =
    options.signals === false
      ? undefined
      : leaveOnSignal(async () => {
          await leaveOnce();
          await close(options.server);
          await options.onDrained?.();
        });
  await session.start();
  return {
    get state() {
      return session.state;
    },
    onState: (listener) => session.onState(listener),
    drain: leaveOnce,
    end,
  };
}

function registryOf({ to, service, address, ttlMs, requestTimeoutMs }: Settings): Registry {
  if ("gateway" in to) {
    const send = sendInTurn({ name: "the gateway", endpoints: to.gateway, requestTimeoutMs });
    return new GatewayRegistry({ send, service, address, token: to.token, ttlMs });
  }
  const { etcd, prefix, healthPrefix, ...credentials } = to;
  const send = sendInTurn({ name: "etcd", endpoints: etcd, requestTimeoutMs });
  const place = `${service}/${address}`;
  return new EtcdRegistry({ send, key: prefix + place, healthKey: healthPrefix + place, ttlMs, ...credentials });
}

function close(server: Closable | undefined): Promise<void> {
  if (server === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const cancel = systemTime.after(closeMaxMs, resolve);
    server.close(() => {
      cancel();
      resolve();
    });
  });
}

const warn: Log = (level, message) => {
  if (level === "warn") console.warn(message);
};
