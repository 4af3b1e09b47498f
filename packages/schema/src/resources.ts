import type { DiscoverSettings } from "./discover-settings.ts";

/**
 * The resources of a document after validation: units parsed (milliseconds, bytes, ratios 0..1), defaults filled in,
 * shorthands expanded. Plain data, so that it crosses a thread or a store unchanged.
 */

/** A text condition: the whole value, an unanchored regular expression, or presence. */
export type TextCondition = { readonly equals: string } | { readonly regex: string } | { readonly exists: boolean };

/** One alternative of a route's `match`, or a middleware's `when`. An absent field takes everything. */
export interface Match {
  /** Lower case, no port; `*.example.org` takes one or more labels in front. */
  readonly hosts?: readonly string[];
  /** `/a` exactly, `/a/*` it and everything below, `/a/:id` one segment. Always starts with `/`. */
  readonly path?: string;
  readonly methods?: readonly string[];
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, TextCondition>>;
  readonly query?: Readonly<Record<string, TextCondition>>;
  readonly cookies?: Readonly<Record<string, TextCondition>>;
  /** CIDR networks, IPv4 or IPv6; a bare address is a network of one. */
  readonly clients?: readonly string[];
}

/** One step of a chain as written: a middleware's name or the name of a configuration under `middlewares` or `plugins`. */
export interface ChainEntry {
  readonly name: string;
  /** What stood behind the name; `undefined` where only the name was written. Validated by the middleware itself. */
  readonly settings?: unknown;
  readonly when?: Match;
}

export interface RespondSettings {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Destination {
  readonly service: string;
  /** 0 takes no traffic. */
  readonly weight: number;
}

export type Fallback = { readonly respond: RespondSettings } | { readonly service: string };

export interface RouteResource {
  readonly match: readonly Match[];
  readonly use: readonly ChainEntry[];
  /** Exactly one of `to` (not empty) and `respond`. */
  readonly to?: readonly Destination[];
  readonly respond?: RespondSettings;
  readonly fallback?: Fallback;
  /** The whole exchange, from the request's head to the last byte of the answer. Absent: no limit beyond the service's. */
  readonly timeoutMs?: number;
  readonly priority: number;
  /** Store-and-forward. Absent: the client waits for the instance. */
  readonly delivery?: DeliverySettings;
  /** Who goes last when the gateway is overloaded. Absent: normal. */
  readonly importance?: Importance;
}

/** In the order in which requests are refused when there is too much to do. */
export type Importance = "low" | "normal" | "high" | "critical";

/** How what was queued is delivered. */
export interface DeliverySettings {
  /** From the 202 to the dead-letter list. */
  readonly deadlineMs: number;
  /** Before the second try; doubles up to `backoffMaxMs`, with full jitter. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** Largest body that is taken; HG_BODY_TOO_LARGE beyond. */
  readonly bodyBytesMax: number;
}

export interface InstanceResource {
  /** `host:port`; IPv6 hosts in brackets. */
  readonly address: string;
  readonly weight: number;
  readonly zone?: string;
}

/** What makes an attempt a failed one that may be tried again, if the request may be repeated. Three digits: that status. */
export type RetryOn = "connect" | "reset" | "timeout" | `${number}`;

export interface RetryPolicy {
  /** Attempts after the first. 0 means exactly one attempt. */
  readonly attempts: number;
  readonly on: readonly RetryOn[];
  /** Share of live requests that may be retries, 0..1. */
  readonly budgetRatio: number;
  readonly backoffMs: number;
  /** Limit of one attempt up to the response head. Absent: the service's `firstByte`. */
  readonly perTryMs?: number;
}

export interface ServiceTimeouts {
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly idleMs: number;
}

/** Where the text that decides an instance is taken from. */
export type HashKey =
  { readonly from: "header" | "cookie" | "query" | "param"; readonly name: string } | { readonly from: "client" };

export type BalanceSettings =
  | { readonly policy: "peak-ewma" | "least-requests" | "round-robin" }
  /** Maglev. `loadFactor`: no instance takes more than this multiple of its share of what is under way. Absent: no bound. */
  | { readonly policy: "hash"; readonly key: HashKey; readonly loadFactor?: number }
  /** A cookie names the instance. `ttlMs` absent: as long as the browser runs. */
  | {
      readonly policy: "sticky";
      readonly cookie: string;
      readonly ttlMs?: number;
      readonly path: string;
      readonly secure: boolean;
    };

export interface CircuitBreakerSettings {
  /** Opens at this share of failures in the window, 0..1. */
  readonly failureRatio: number;
  readonly windowMs: number;
  /** The shares are not looked at below this many requests in the window. */
  readonly minRequests: number;
  /** Failures in a row that open it, of one instance; 0: none do. */
  readonly consecutive: number;
  /** Doubles with each opening that follows a failed trial, up to `openMaxMs`. */
  readonly openMs: number;
  readonly openMaxMs: number;
  /** An answer whose head took longer is a slow one. Absent: none is. */
  readonly slowCallMs?: number;
  /** Opens at this share of slow calls in the window, 0..1. */
  readonly slowRatio: number;
  /** Trials that are let through when half-open, and that all must succeed to close it. */
  readonly halfOpenRequests: number;
}

/** Passive detection: instances that fail are left out for a while. */
export interface OutlierDetectionSettings {
  /** Most of a service's instances that are ejected at a time, 0..1. */
  readonly maxEjectedRatio: number;
  /** The first ejection; each further one is longer by this. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** Failures in a row that eject. */
  readonly consecutive: number;
  /** How often the shares of success of the instances are compared. */
  readonly intervalMs: number;
}

/** Active checks, one prober a gateway. */
export interface HealthCheckSettings {
  readonly type: "http" | "tcp";
  readonly path: string;
  readonly method: "GET" | "HEAD" | "OPTIONS";
  /** The `Host` field; absent: the instance's address. */
  readonly host?: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Inclusive ranges. */
  readonly statuses: readonly { readonly from: number; readonly to: number }[];
  /** The beginning of the body must hold it. */
  readonly body?: string;
  /** Absent: the instance's own. */
  readonly port?: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Passed checks in a row that make a sick instance a healthy one. */
  readonly healthy: number;
  /** Failed checks in a row that make a healthy instance a sick one. */
  readonly unhealthy: number;
}

/** Most requests to a service at a time, over all workers: given, or found by its answers. */
export type ConcurrencySettings =
  | { readonly type: "fixed"; readonly limit: number }
  | { readonly type: "adaptive"; readonly min: number; readonly max: number; readonly initial: number };

export interface ServiceResource {
  /** Those that are always there; with `discover`, besides those that are found. */
  readonly instances: readonly InstanceResource[];
  readonly discover?: DiscoverSettings;
  readonly protocol: "http";
  readonly balance: BalanceSettings;
  /** Whether instances of the gateway's own zone go before others. Absent: they do. */
  readonly preferZone?: boolean;
  /** How long a new or recovered instance takes to reach its share. Absent: it has it at once. */
  readonly slowStartMs?: number;
  /** Below this share of available instances all are used, 0..1. Absent: never. */
  readonly panicThreshold?: number;
  readonly timeouts: ServiceTimeouts;
  readonly retry: RetryPolicy;
  /** A second attempt, of requests that may be repeated, while the first is not answered. */
  readonly hedging?: { readonly afterMs: number; readonly max: number };
  readonly circuitBreaker?: CircuitBreakerSettings;
  /** Absent: nobody is ejected. */
  readonly outlierDetection?: OutlierDetectionSettings;
  readonly healthCheck?: HealthCheckSettings;
  readonly concurrency?: ConcurrencySettings;
  readonly pool: { readonly max: number; readonly idleMs: number };
  /** Steps in front of this service, behind those of the route. */
  readonly use: readonly ChainEntry[];
}

export interface ConsumerResource {
  readonly keys: readonly string[];
  readonly groups: readonly string[];
  readonly jwt?: { readonly subject: string };
}

/** A named configuration of a middleware. */
export interface MiddlewareResource {
  readonly entry: ChainEntry;
}

/** A middleware of the user's own: exactly one of `path` and `source`. */
export interface PluginResource {
  /** Its file; absolute after loading. */
  readonly path?: string;
  /** Its TypeScript or JavaScript text, one file. */
  readonly source?: string;
  /** SHA-256 of `module`, hex: the identity of this version of the code. */
  readonly sha256?: string;
  /** What workers run: the code bundled with all it imports but the gateway's own modules. */
  readonly module?: string;
}

/** Everything a gateway serves, at one revision. */
export interface Resources {
  readonly routes: Readonly<Record<string, RouteResource>>;
  readonly services: Readonly<Record<string, ServiceResource>>;
  readonly middlewares: Readonly<Record<string, MiddlewareResource>>;
  readonly consumers: Readonly<Record<string, ConsumerResource>>;
  readonly plugins: Readonly<Record<string, PluginResource>>;
  /** The chain in front of every route. */
  readonly global: readonly ChainEntry[];
}

export interface ListenSettings {
  /** `host:port`; port 0 picks a free one (one worker only). */
  readonly address: string;
}

/** The kinds of resources that have names. */
export type ResourceKind = Exclude<keyof Resources, "global">;

/** How to reach etcd. PEM texts, not paths. */
export interface EtcdSettings {
  /** `http://host:port` or `https://host:port`. */
  readonly endpoints: readonly string[];
  /** Starts and ends with `/`. */
  readonly prefix: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly serverName?: string };
}

/** Where the configuration is kept, beside or instead of a file. */
export type StoreSettings =
  | { readonly etcd: EtcdSettings }
  /** In this process, durable in the data directory. `listen`: where it serves etcd's API; absent: nowhere. */
  | { readonly embedded: { readonly prefix: string; readonly listen?: string } };

/** Read once at start; a change is reported as "restart needed". */
export interface GatewaySettings {
  readonly listen: readonly ListenSettings[];
  readonly admin: { readonly address: string };
  /** 0 runs the proxy in the control thread. */
  readonly workers: number | "auto";
  readonly dataDir: string;
  /** CIDR networks whose forwarding headers are believed. */
  readonly trustedProxies: readonly string[];
  readonly timeouts: {
    /** From the first byte of a head, or from accepting the connection, to its end. */
    readonly requestHeadMs: number;
    /** Between two reads of a request's body, and between two writes a client does not take. */
    readonly requestBodyIdleMs: number;
    readonly keepAliveMs: number;
    readonly drainMs: number;
  };
  readonly limits: {
    readonly requestHeadBytes: number;
    readonly headers: number;
    readonly uriBytes: number;
    /** Client connections over all workers. */
    readonly connections: number;
  };
  readonly accessLog: { readonly path: string; readonly format: "json" | "combined" | "ecs" | "off" };
  /** Absent: the file alone. */
  readonly store?: StoreSettings;
  /** What the keys of the registry begin with, in the same store; ends with `/`. */
  readonly registry: { readonly prefix: string };
  /** Where this gateway stands; instances of the same zone are preferred. */
  readonly zone?: string;
  readonly redis?: { readonly url: string };
  /** Where requests wait that are delivered later. Absent: as by default. */
  readonly queue?: QueueSettings;
  /** When requests are refused at the door. Absent: never. */
  readonly overload?: OverloadSettings;
}

/** The queue of routes with `delivery: async`. */
export interface QueueSettings {
  /** `embedded`: in the data directory; `redis`: in Redis Streams, shared by several gateways. */
  readonly store: "embedded" | "redis";
  /** Most messages that wait; beyond, requests are answered with HG_OVERLOADED. */
  readonly messages: number;
  readonly bytes: number;
  /** Most messages in the dead-letter list; the oldest go first. */
  readonly deadLetters: number;
  /** What messages are sealed with. Absent: a key of the data directory's own; with Redis they are not sealed. */
  readonly secret?: string;
}

/** A worker that is busier than this, and lets wait for longer, sheds load. */
export interface OverloadSettings {
  /** Share of time the event loop is busy, 0..1. */
  readonly utilizationRatio: number;
  /** How long what comes waits for its turn in the event loop. */
  readonly delayMs: number;
}
