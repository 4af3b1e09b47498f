import type { z } from "zod";
import type { Clock, Random } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Exchange } from "./exchange.ts";

/**
 * Calls the rest of the chain. Resolves when the response head is there, before it is sent: `exchange.response` may
 * then still be changed or replaced. Rejects with the error that will be answered. May be called once.
 */
export type Next = () => Promise<void>;

/** One step of the chain: code before `next()`, code after it, or an answer instead of it. Runs once per exchange. */
export type Middleware = (exchange: Exchange, next: Next) => Promise<void> | void;

/** One try at one instance. */
export interface Attempt {
  readonly exchange: Exchange;
  /** From 1. */
  readonly number: number;
  readonly service: string;
  /** `host:port`. */
  readonly instance: string;
  /** Sets a header field for this try only. */
  setHeader(name: string, value: string): void;
}

/** Runs around each try at an instance (signing, per-try headers): once per attempt. */
export type AttemptHook = (attempt: Attempt, next: Next) => Promise<void> | void;

export interface BuiltMiddleware {
  readonly handle: Middleware;
  readonly attempt?: AttemptHook;
  /** Runs after the last exchange of the last snapshot that used this has ended. */
  readonly dispose?: () => void;
}

/** A counter with its labels resolved; adding costs one memory access. */
export interface Counter {
  add(amount: number): void;
}

/**
 * GCRA state shared by all workers. Times are microseconds of the process' monotonic clock.
 * Source: ITU-T I.371 generic cell rate algorithm, as in redis-cell.
 */
export interface LimiterState {
  /**
   * Takes one cell for `key`. `incrementUs`: time between two cells at the sustained rate; `toleranceUs`: how far ahead
   * of time cells may come (increment × burst). Exact across workers.
   */
  take(key: string, incrementUs: number, toleranceUs: number): LimiterResult;
}

export interface LimiterResult {
  readonly allowed: boolean;
  /** Cells that may still come at once. */
  readonly remaining: number;
  /** Until the next cell is allowed; 0 when allowed. */
  readonly retryAfterUs: number;
  /** Until the full burst is available again. */
  readonly resetAfterUs: number;
}

/** Where access-log lines go: batched, bounded, never blocking traffic. */
export interface LogSink {
  write(line: string): void;
}

/** What a middleware gets instead of sockets, timers and the environment. */
export interface Kit {
  /** Identity of this step, stable over changes of its settings: `middlewares/signed-in`, `routes/users/use/1`. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Shared by all workers; `identity` keeps the keys of two limits apart. */
  readonly limiter: LimiterState;
  readonly accessLog: LogSink;
  /** The gateway-wide default format of the access log. */
  readonly accessLogFormat: "json" | "combined" | "ecs" | "off";
  /** A counter `headgate_<name>` with these labels. Label values must come from a bounded set. */
  counter(name: string, labels: Readonly<Record<string, string>>): Counter;
  /** Fetches JSON (a key set, say). Rejects on anything but 200, after 5 s, or over 1 MiB. */
  fetchJson(url: string): Promise<unknown>;
}

export interface MiddlewareDefinition<Settings extends z.ZodType = z.ZodType> {
  /** The name in documents: kebab-case. */
  readonly name: string;
  /** Validates the settings. Text, numbers and lists may stand for the natural setting: use a union or `z.preprocess`. */
  readonly config: Settings;
  /** Runs once per snapshot and place where it is configured. Throwing rejects the configuration with that message. */
  readonly build: (settings: z.output<Settings>, kit: Kit) => Middleware | BuiltMiddleware;
  /**
   * Whether it lets no request pass whose sender it does not know: always, or with these settings. Changes nothing at
   * run time; a dry run tells which requests would lose or gain authentication.
   */
  readonly authenticates?: true | ((settings: z.output<Settings>) => boolean);
}

/** Types the definition of a middleware; a middleware module's default export. */
export function defineMiddleware<Settings extends z.ZodType>(
  definition: MiddlewareDefinition<Settings>,
): MiddlewareDefinition<Settings> {
  return definition;
}
