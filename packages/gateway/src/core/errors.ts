/** Who caused it: the client, the gateway itself, or the instance behind it. */
export type ErrorSource = "client" | "gateway" | "upstream";
/** Whether another attempt is safe: `any-method` nothing was sent; `idempotent` it may have acted. */
export type RetrySafety = "never" | "any-method" | "idempotent";

export interface ErrorFacts {
  readonly status: number;
  readonly title: string;
  readonly source: ErrorSource;
  readonly retry: RetrySafety;
}

/** Every error a client can be told of. `docs/errors.md` explains each; a test compares the two. */
export const errors = {
  HG_BAD_REQUEST: { status: 400, title: "The request is not valid HTTP", source: "client", retry: "never" },
  HG_UNAUTHENTICATED: { status: 401, title: "Authentication is required", source: "client", retry: "never" },
  HG_FORBIDDEN: { status: 403, title: "This is not allowed", source: "client", retry: "never" },
  HG_ROUTE_NOT_FOUND: { status: 404, title: "No route takes this request", source: "client", retry: "never" },
  HG_METHOD_NOT_ALLOWED: {
    status: 405,
    title: "The route does not take this method",
    source: "client",
    retry: "never",
  },
  HG_REQUEST_TIMEOUT: { status: 408, title: "The request did not arrive in time", source: "client", retry: "never" },
  HG_BODY_TOO_LARGE: { status: 413, title: "The body is too large", source: "client", retry: "never" },
  HG_URI_TOO_LONG: { status: 414, title: "The request target is too long", source: "client", retry: "never" },
  HG_EXPECTATION_FAILED: { status: 417, title: "The expectation cannot be met", source: "client", retry: "never" },
  HG_IDEMPOTENCY_CONFLICT: {
    status: 422,
    title: "The idempotency key belongs to another request",
    source: "client",
    retry: "never",
  },
  HG_RATE_LIMITED: { status: 429, title: "Too many requests", source: "client", retry: "never" },
  HG_HEADERS_TOO_LARGE: { status: 431, title: "The request head is too large", source: "client", retry: "never" },
  HG_CLIENT_CLOSED: { status: 499, title: "The client went away", source: "client", retry: "never" },
  HG_INTERNAL: { status: 500, title: "The gateway failed", source: "gateway", retry: "never" },
  HG_METHOD_NOT_IMPLEMENTED: { status: 501, title: "The method is not supported", source: "client", retry: "never" },
  HG_UPSTREAM_CONNECT: {
    status: 502,
    title: "The service could not be reached",
    source: "upstream",
    retry: "any-method",
  },
  HG_UPSTREAM_RESET: {
    status: 502,
    title: "The service closed the connection",
    source: "upstream",
    retry: "idempotent",
  },
  HG_UPSTREAM_PROTOCOL: {
    status: 502,
    title: "The service did not answer in valid HTTP",
    source: "upstream",
    retry: "idempotent",
  },
  HG_NO_INSTANCE: { status: 503, title: "The service has no instance", source: "gateway", retry: "never" },
  HG_CIRCUIT_OPEN: {
    status: 503,
    title: "The service fails and is given a rest",
    source: "gateway",
    retry: "never",
  },
  HG_OVERLOADED: {
    status: 503,
    title: "The gateway or the service is at its limit",
    source: "gateway",
    retry: "never",
  },
  HG_UPSTREAM_TIMEOUT: {
    status: 504,
    title: "The service did not answer in time",
    source: "upstream",
    retry: "idempotent",
  },
  HG_TIMEOUT: { status: 504, title: "The exchange took too long", source: "gateway", retry: "never" },
  HG_HTTP_VERSION: { status: 505, title: "The HTTP version is not supported", source: "client", retry: "never" },
} as const satisfies Record<string, ErrorFacts>;

export type ErrorCode = keyof typeof errors;

export interface ErrorDetails {
  /** One sentence for the client. Never holds secrets. */
  readonly detail?: string;
  /** Fields to put on the answer. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The instance that failed; for the log only. */
  readonly instance?: string;
  readonly cause?: unknown;
  /** The request did not leave the gateway: any method may be tried again, whatever the code says. */
  readonly nothingSent?: boolean;
}

/** What a step throws to end an exchange. Only `proxy/respond.ts` turns it into an answer. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    super(details.detail ?? errors[code].title, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "GatewayError";
    this.code = code;
    this.details = details;
  }

  get facts(): ErrorFacts {
    return errors[this.code];
  }

  /** Whether another attempt is safe after this one. */
  get retry(): RetrySafety {
    return this.details.nothingSent === true ? "any-method" : this.facts.retry;
  }
}
