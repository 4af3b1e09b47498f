import type { ConsumerResource } from "@headgate/schema";
import type { Clock, Random } from "./core/clock.ts";
import { errors, GatewayError } from "./core/errors.ts";
import { silentLog, type Log } from "./core/log.ts";
import { buildConsumerDirectory } from "./proxy/consumers.ts";
import { Exchange, ExchangeRequest, type Answer, type BodyFraming, type Client } from "./proxy/exchange.ts";
import { Fields } from "./proxy/http1/fields.ts";
import { createLimiterMemory, SharedLimiter } from "./proxy/limiter.ts";
import type { AttemptHook, Kit, LimiterState, Middleware, MiddlewareDefinition } from "./proxy/middleware.ts";

/** A request to run through a chain. */
export interface TestRequest {
  /** Default `GET`. */
  readonly method?: string;
  /** Path and query, or an absolute URL whose host is used. Default `/`. */
  readonly url?: string;
  readonly headers?: Readonly<Record<string, string>> | Iterable<readonly [string, string]>;
  readonly body?: string | Uint8Array;
  /** Default `length` with a body and `none` without. `chunked` hides the length from the steps. */
  readonly framing?: BodyFraming;
}

/** What surrounds the chain. Nothing is random and no time passes unless a test says so. */
export interface TestOptions {
  /** What the service answers. Default 200 with the body `ok`. Throwing a GatewayError is a failing service. */
  readonly upstream?: Answer | ((exchange: Exchange) => Answer | Promise<Answer>);
  readonly clock?: FakeClock;
  /** Default: always 0.5. */
  readonly random?: Random;
  readonly log?: Log;
  readonly consumers?: Readonly<Record<string, Partial<ConsumerResource>>>;
  /** Default 192.0.2.1:50000 over http. */
  readonly client?: Partial<Client>;
  /** Default `test-route`. */
  readonly route?: string;
  /** Default `test-service`. */
  readonly service?: string;
  /** Values of the route's `:name` segments. */
  readonly params?: Readonly<Record<string, string>>;
  /** Segments of the path that the route's literal prefix took. Default 0. */
  readonly prefixSegments?: number;
  /** The step's identity; further steps get `/1`, `/2` behind it. Default `test`. */
  readonly identity?: string;
  /** Default: 1,024 entries of its own, on the clock. */
  readonly limiter?: LimiterState;
  /** Default `json`. */
  readonly accessLogFormat?: Kit["accessLogFormat"];
  /** Default: rejects. */
  readonly fetchJson?: (url: string) => Promise<unknown>;
}

export interface TestResponse {
  readonly status: number;
  readonly headers: Fields;
  readonly body: string;
  json(): unknown;
}

export interface TestRun {
  readonly response: TestResponse;
  /** After the end of the exchange: also what the service got (`request`), the consumer, the user. */
  readonly exchange: Exchange;
  /** How often the service was reached. */
  readonly nextCalls: number;
  /** What attempt hooks set, by name in lower case. */
  readonly attemptHeaders: ReadonlyMap<string, string>;
  /** Access-log lines of this exchange. */
  readonly logLines: readonly string[];
  /** The error that was answered, if one was. */
  readonly error: GatewayError | undefined;
}

/** Time that only moves when told. */
export class FakeClock implements Clock {
  #now: number;
  #wall: number;

  /** Monotonic milliseconds, and milliseconds since 1970 (default 2026-01-01T00:00:00Z). */
  constructor(now = 1_000_000, wall = Date.UTC(2026, 0, 1)) {
    this.#now = now;
    this.#wall = wall;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wall;
  }

  advance(ms: number): void {
    this.#now += ms;
    this.#wall += ms;
  }
}

/** A middleware and its settings as a document would have them. */
export type TestStep = readonly [definition: MiddlewareDefinition, settings?: unknown];

/** A built chain; runs any number of requests, which share its limiter, caches and clock. */
export interface TestChain {
  readonly clock: FakeClock;
  readonly logLines: readonly string[];
  /** Values by `name{label="value"}`. */
  readonly counters: ReadonlyMap<string, number>;
  run(request?: TestRequest): Promise<TestRun>;
  /** Ends it as the end of a snapshot would. */
  dispose(): void;
}

/**
 * Runs one middleware without a socket: validates `settings` with its schema, builds it, sends one request through it
 * to a scripted service. A GatewayError becomes a problem+json answer with its status and fields, as in the gateway.
 * Throws where the settings are not valid or the middleware does not build.
 */
export async function runMiddleware(
  definition: MiddlewareDefinition,
  settings: unknown,
  request: TestRequest = {},
  options: TestOptions = {},
): Promise<TestRun> {
  const chain = createTestChain([[definition, settings]], options);
  try {
    return await chain.run(request);
  } finally {
    chain.dispose();
  }
}

/** Builds a chain of several middlewares, or one that is to see several requests. The first step is outermost. */
export function createTestChain(steps: readonly TestStep[], options: TestOptions = {}): TestChain {
  const clock = options.clock ?? new FakeClock();
  const logLines: string[] = [];
  const counters = new Map<string, number>();
  const limiter = options.limiter ?? new SharedLimiter(createLimiterMemory(1024, 1n), clock);
  const handlers: Middleware[] = [];
  const hooks: AttemptHook[] = [];
  const disposers: (() => void)[] = [];
  for (const [index, [definition, settings]] of steps.entries()) {
    const identity = options.identity ?? "test";
    const built = definition.build(parseSettings(definition, settings), {
      identity: index === 0 ? identity : `${identity}/${index}`,
      clock,
      random: options.random ?? (() => 0.5),
      log: options.log ?? silentLog,
      limiter,
      accessLog: { write: (line) => logLines.push(line) },
      accessLogFormat: options.accessLogFormat ?? "json",
      counter: (name, labels) => {
        const series = seriesName(name, labels);
        return { add: (amount) => counters.set(series, (counters.get(series) ?? 0) + amount) };
      },
      fetchJson: options.fetchJson ?? ((url) => Promise.reject(new Error(`no answer for ${url} in this test`))),
    });
    if (typeof built === "function") {
      handlers.push(built);
    } else {
      handlers.push(built.handle);
      if (built.attempt !== undefined) hooks.push(built.attempt);
      if (built.dispose !== undefined) disposers.push(built.dispose);
    }
  }
  return {
    clock,
    logLines,
    counters,
    run: (request = {}) => runChain(handlers, hooks, request, options, clock, logLines),
    dispose: () => {
      for (const dispose of disposers.splice(0)) dispose();
    },
  };
}

function parseSettings(definition: MiddlewareDefinition, settings: unknown): unknown {
  // A middleware named without settings is validated as an empty map, as in a document.
  const parsed = definition.config.safeParse(settings ?? {});
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${[definition.name, ...issue.path].join(".")}: ${issue.message}`);
  throw new Error(issues.join("; "));
}

async function runChain(
  handlers: readonly Middleware[],
  hooks: readonly AttemptHook[],
  request: TestRequest,
  options: TestOptions,
  clock: FakeClock,
  logLines: readonly string[],
): Promise<TestRun> {
  const exchange = makeExchange(request, options, clock);
  const bodyBytes = byteLength(request.body);
  const attemptHeaders = new Map<string, string>();
  const firstLine = logLines.length;
  let nextCalls = 0;
  let upstreamBody: Uint8Array | string = "";

  const forward = async (): Promise<void> => {
    nextCalls++;
    exchange.serviceName = options.service ?? "test-service";
    exchange.instanceAddress = "127.0.0.1:3000";
    exchange.attempts++;
    exchange.upstreamStartMs = clock.now();
    if (bodyBytes > exchange.request.bodyBytesMax) throw new GatewayError("HG_BODY_TOO_LARGE");
    exchange.requestBytes = bodyBytes;
    const { upstream = { status: 200, body: "ok" } } = options;
    const answer = typeof upstream === "function" ? await upstream(exchange) : upstream;
    exchange.upstreamHeadMs = clock.now();
    exchange.response.status = answer.status;
    exchange.response.headers = Fields.from(answer.headers ?? []);
    exchange.response.source = "upstream";
    exchange.response.body = undefined;
    upstreamBody = answer.body ?? "";
  };
  const attempt = (): Promise<void> =>
    runFrom(hooks, 0, forward, (hook, next) =>
      hook(
        {
          exchange,
          number: exchange.attempts + 1,
          service: options.service ?? "test-service",
          instance: "127.0.0.1:3000",
          setHeader: (name, value) => attemptHeaders.set(name.toLowerCase(), value),
        },
        next,
      ),
    );

  try {
    await runFrom(handlers, 0, attempt, (handle, next) => handle(exchange, next));
    if (exchange.response.source === "none") throw new Error("the chain neither answered nor called next()");
  } catch (thrown) {
    exchange.error = thrown instanceof GatewayError ? thrown : new GatewayError("HG_INTERNAL", { cause: thrown });
    answerProblem(exchange, exchange.error);
  }
  const { response } = exchange;
  const body = Buffer.from(response.source === "upstream" ? upstreamBody : (response.body ?? "")).toString("utf8");
  exchange.responseBytes = Buffer.byteLength(body);
  exchange.finishedMs = clock.now();
  exchange.runFinishers((error) => {
    throw error;
  });
  return {
    response: { status: response.status, headers: response.headers, body, json: () => JSON.parse(body) as unknown },
    exchange,
    nextCalls,
    attemptHeaders,
    logLines: logLines.slice(firstLine),
    error: exchange.error,
  };
}

/** Calls the steps from `index` on, each with the rest as its `next`. A second call of `next` is an error. */
async function runFrom<Step>(
  steps: readonly Step[],
  index: number,
  last: () => Promise<void>,
  call: (step: Step, next: () => Promise<void>) => Promise<void> | void,
): Promise<void> {
  const step = steps[index];
  if (step === undefined) return last();
  let called = false;
  await call(step, () => {
    if (called) return Promise.reject(new Error("next() was called twice"));
    called = true;
    return runFrom(steps, index + 1, last, call);
  });
}

function makeExchange(request: TestRequest, options: TestOptions, clock: FakeClock): Exchange {
  const url = new URL(request.url ?? "/", "http://api.example.com");
  const framing = request.framing ?? (request.body === undefined ? "none" : "length");
  const made = new ExchangeRequest({
    method: request.method ?? "GET",
    target: url.pathname + url.search,
    host: url.hostname,
    headers: receivedFields(request.headers ?? [], url.host),
    matchPath: url.pathname,
    path: url.pathname,
    search: url.search,
    framing,
    contentLength: framing === "length" ? byteLength(request.body) : -1,
  });
  const client: Client = {
    ip: "192.0.2.1",
    port: 50_000,
    peer: options.client?.ip ?? "192.0.2.1",
    scheme: "http",
    localPort: 8080,
    ...options.client,
  };
  const exchange = new Exchange(made, client, () => "generated-id");
  exchange.routeName = options.route ?? "test-route";
  exchange.match = { alternative: 0, params: options.params ?? {}, prefixSegments: options.prefixSegments ?? 0 };
  exchange.startedMs = clock.now();
  exchange.startedWallMs = clock.wall();
  const consumers: Record<string, ConsumerResource> = {};
  for (const [name, consumer] of Object.entries(options.consumers ?? {})) {
    consumers[name] = { keys: [], groups: [], ...consumer };
  }
  exchange.consumers = buildConsumerDirectory(consumers);
  return exchange;
}

/** Fields as the head parser leaves them, so that a step meets received and not only added ones. */
function receivedFields(headers: NonNullable<TestRequest["headers"]>, host: string): Fields {
  const given = Fields.from(headers);
  if (!given.has("host")) given.append("host", host);
  let raw = "";
  const offsets: number[] = [];
  for (const [name, value] of given) {
    const start = raw.length;
    raw += `${name}: ${value}\r\n`;
    offsets.push(start, start + name.length, start + name.length + 2, raw.length - 2);
  }
  return new Fields(raw, offsets);
}

function answerProblem(exchange: Exchange, error: GatewayError): void {
  const { status, title } = errors[error.code];
  exchange.respond({
    status,
    headers: { ...error.details.headers, "content-type": "application/problem+json" },
    body: JSON.stringify({
      type: `urn:headgate:error:${error.code.slice(3).toLowerCase().replaceAll("_", "-")}`,
      title,
      status,
      code: error.code,
      detail: error.details.detail,
      requestId: exchange.id,
    }),
  });
}

function seriesName(name: string, labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(",")}}`;
}

function byteLength(body: string | Uint8Array | undefined): number {
  return body === undefined ? 0 : Buffer.byteLength(body);
}
