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

/** Where instances announce themselves. */
export interface DiscoverSettings {
  /** The name under the registry's prefix. */
  readonly etcd: string;
}

export interface ServiceResource {
  /** Those that are always there; with `discover`, besides those that announce themselves. */
  readonly instances: readonly InstanceResource[];
  readonly discover?: DiscoverSettings;
  readonly protocol: "http";
  /** Weighted round-robin is the only balancer yet. */
  readonly balance: "round-robin";
  readonly timeouts: ServiceTimeouts;
  readonly retry: RetryPolicy;
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
}
