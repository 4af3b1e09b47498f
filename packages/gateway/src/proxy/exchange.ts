import type { Importance } from "@headgate/schema";
import { GatewayError } from "../core/errors.ts";
import type { Carrier } from "./carrier.ts";
import { Fields } from "./http1/fields.ts";

/** How the request's body is delimited on the wire. */
export type BodyFraming = "none" | "length" | "chunked";

/** The client as the gateway knows it: behind trusted proxies the address they report, else the peer's. */
export interface Client {
  /** IPv4 in dotted form also when it came mapped into IPv6. */
  readonly ip: string;
  readonly port: number;
  /** Address of the connection's other end; differs from `ip` behind a trusted proxy. */
  readonly peer: string;
  readonly scheme: "http" | "https";
  /** The port of the gateway that was reached. */
  readonly localPort: number;
}

/** Who an authenticator found. */
export interface ConsumerRef {
  readonly name: string;
  readonly groups: readonly string[];
}

/** What of the route's `match` this request met. */
export interface RouteMatch {
  /** Index of the alternative. */
  readonly alternative: number;
  /** Values of `:name` segments, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** Segments that the literal part of a `/prefix/*` path took; for an exact path all of them. */
  readonly prefixSegments: number;
}

/** The consumers of the snapshot this exchange runs on. */
export interface ConsumerDirectory {
  byKey(key: string): ConsumerRef | undefined;
  bySubject(subject: string): ConsumerRef | undefined;
}

/** An answer made by the gateway. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>> | Iterable<readonly [string, string]>;
  readonly body?: string | Uint8Array;
}

export class ExchangeRequest {
  readonly method: string;
  /** As received, in origin form. */
  readonly target: string;
  /** Lower case, without port. */
  readonly host: string;
  readonly headers: Fields;
  /** What routes are matched on: dot segments resolved, unreserved letters decoded, `%2f` a separator. */
  readonly matchPath: string;
  /** Path to send on, without the query. A step may change it; it must start with `/`. */
  path: string;
  /** The query with its `?`, or empty. A step may change it. */
  search: string;
  readonly framing: BodyFraming;
  /** Declared length in bytes; -1 where none is declared. */
  readonly contentLength: number;
  /** Most body bytes this exchange may carry; the smallest of all `limitBody` calls. */
  bodyBytesMax = Infinity;
  #query: URLSearchParams | undefined;
  #queryOf = "";

  constructor(init: {
    method: string;
    target: string;
    host: string;
    headers: Fields;
    matchPath: string;
    path: string;
    search: string;
    framing: BodyFraming;
    contentLength: number;
  }) {
    this.method = init.method;
    this.target = init.target;
    this.host = init.host;
    this.headers = init.headers;
    this.matchPath = init.matchPath;
    this.path = init.path;
    this.search = init.search;
    this.framing = init.framing;
    this.contentLength = init.contentLength;
  }

  /** First value of a query parameter, decoded; parsed on first use. */
  queryParam(name: string): string | undefined {
    if (this.search === "") return undefined;
    if (this.#query === undefined || this.#queryOf !== this.search) {
      this.#query = new URLSearchParams(this.search);
      this.#queryOf = this.search;
    }
    return this.#query.get(name) ?? undefined;
  }

  /** Value of a cookie, as sent (surrounding quotes removed); looked up on each call. */
  cookie(name: string): string | undefined {
    for (const line of this.headers.getAll("cookie")) {
      for (const pair of line.split(";")) {
        const equals = pair.indexOf("=");
        if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
        const value = pair.slice(equals + 1).trim();
        return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
      }
    }
    return undefined;
  }

  /**
   * Refuses a body of more than `bytes`: at once where the length is declared, while it streams where it is not.
   * Throws or ends the exchange with HG_BODY_TOO_LARGE.
   */
  limitBody(bytes: number): void {
    if (bytes < this.bodyBytesMax) this.bodyBytesMax = bytes;
    if (this.contentLength > bytes) {
      throw new GatewayError("HG_BODY_TOO_LARGE", { detail: `The limit is ${bytes} bytes.` });
    }
  }
}

export class ExchangeResponse {
  status = 0;
  headers: Fields = new Fields();
  /** Where the head came from. `none` until a step or an instance answered. */
  source: "none" | "gateway" | "upstream" = "none";
  /** The body of an answer the gateway made; an instance's body streams and is not held here. */
  body: Uint8Array | undefined;
}

const noParams: RouteMatch = { alternative: 0, params: {}, prefixSegments: 0 };
const nobody: ConsumerDirectory = { byKey: () => undefined, bySubject: () => undefined };
const encoder = new TextEncoder();

/** One client request and its response. Lives from the end of the request's head until the last byte of the answer. */
export class Exchange {
  readonly request: ExchangeRequest;
  readonly response = new ExchangeResponse();
  readonly client: Client;
  /** The request id: in error answers, in the log, and in `X-Request-Id` to the instance. */
  get id(): string {
    return (this.#id ??= this.#makeId());
  }
  /** Throws a TypeError on an id that could not stand in a header: it goes to the instance and into the log. */
  set id(value: string) {
    if (!/^[\x21-\x7e]{1,256}$/.test(value)) throw new TypeError("a request id is 1 to 256 visible ASCII characters");
    this.#id = value;
  }
  /** Name of the route, empty where none matched. */
  routeName = "";
  /** Name of the chosen service, empty before the forward step and where there is none. */
  serviceName = "";
  /** Address of the instance of the last attempt. */
  instanceAddress = "";
  /** What the route says of it. */
  importance: Importance | undefined;
  match: RouteMatch = noParams;
  consumers: ConsumerDirectory = nobody;
  consumer: ConsumerRef | undefined;
  /** Verified claims of a token. */
  user: Readonly<Record<string, unknown>> | undefined;
  /** The wire side; absent in tests that run a middleware without a socket. */
  carrier: Carrier | undefined;
  /** Attempts at instances so far. */
  attempts = 0;
  requestBytes = 0;
  /** Body bytes sent to the client. */
  responseBytes = 0;
  /** The error that ended the exchange, if one did; also HG_CLIENT_CLOSED. */
  error: GatewayError | undefined;
  startedMs = 0;
  /** When it must be over, by the route or by what a trusted proxy waits for; Infinity: never. */
  deadlineMs = Infinity;
  /** Milliseconds since 1970 of the start. */
  startedWallMs = 0;
  upstreamStartMs = 0;
  upstreamHeadMs = 0;
  finishedMs = 0;
  #id: string | undefined;
  readonly #makeId: () => string;
  #finishers: ((exchange: Exchange) => void)[] | undefined;
  #attributes: Map<string, unknown> | undefined;

  constructor(request: ExchangeRequest, client: Client, makeId: () => string) {
    this.request = request;
    this.client = client;
    this.#makeId = makeId;
  }

  /** Values that steps hand to later steps and to the access log; made on first use. */
  get attributes(): Map<string, unknown> {
    return (this.#attributes ??= new Map());
  }

  /** Answers from the gateway. After `next()` it replaces the instance's answer, whose body is dropped. */
  respond(answer: Answer): void {
    const { response } = this;
    response.status = answer.status;
    response.headers = Fields.from(answer.headers ?? []);
    response.body = typeof answer.body === "string" ? encoder.encode(answer.body) : answer.body;
    response.source = "gateway";
  }

  /** Runs when the exchange is over, whatever its end; in order of registration. Must not throw. */
  onFinish(finisher: (exchange: Exchange) => void): void {
    (this.#finishers ??= []).push(finisher);
  }

  /** Called once by the finish step. */
  runFinishers(onError: (error: unknown) => void): void {
    if (this.#finishers === undefined) return;
    for (const finisher of this.#finishers) {
      try {
        finisher(this);
      } catch (error) {
        onError(error);
      }
    }
  }
}
