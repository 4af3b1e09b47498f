import type { ReadBody, BodyKind } from "./read-body.ts";
import type { QueryName, HeaderName } from "./parameters.ts";
import type { SchemaName } from "./openapi/schemas.ts";

type Headers = Readonly<Record<string, string>>;

/** An answer: JSON by default, text of a given type, text in pieces, nothing, or a stream that stays open. */
export type AdminAnswer =
  | { readonly status: number; readonly json: unknown; readonly headers?: Headers }
  | { readonly status: number; readonly type: string; readonly text: string; readonly headers?: Headers }
  | { readonly status: number; readonly type: string; readonly pieces: AsyncIterable<string> }
  | { readonly status: 304; readonly headers: Headers }
  | { readonly status: number; readonly type: string; readonly open: (writer: StreamWriter) => OpenStream };

/** Where an open stream writes to. */
export interface StreamWriter {
  /** Whether there is room for more; if not, `drained` is called when there is. */
  write(text: string): boolean;
  /** Ends it in order. */
  end(): void;
  /** Cuts it off: the reader does not take what was sent. */
  cut(): void;
}

/** What writes an open stream. */
export interface OpenStream {
  /** There is room again. */
  drained(): void;
  /** It is over, whoever ended it. Called once. */
  closed(): void;
}

export interface AdminRequest {
  readonly url: URL;
  /** What stands in the place of `{name}` in the endpoint's path. */
  readonly parameter: (name: string) => string;
  readonly header: (name: string) => string | undefined;
  /** The body, in one of these forms. Throws an AdminError with 400, 413 or 415. */
  readonly read: (kinds: readonly BodyKind[]) => Promise<ReadBody>;
  /** The parsed JSON body; `undefined` where it is empty. Throws an AdminError with 400, 413 or 415. */
  readonly json: () => Promise<unknown>;
}

/** Who may call it: `anyone`; `local` also without a token when the server listens on loopback; `token` nobody else. */
export type Access = "anyone" | "local" | "token";

export type AdminMethod = "GET" | "POST" | "PUT" | "DELETE";

/** What `/openapi.json` says of an endpoint. */
export interface EndpointDescription {
  /** One sentence. */
  readonly summary: string;
  /** Query parameters it takes; others are refused where a token is needed. */
  readonly query?: readonly QueryName[];
  readonly headers?: readonly HeaderName[];
  /** Media types of the body. */
  readonly body?: Readonly<Record<string, SchemaName>>;
  /** Answers that are no errors. */
  readonly answers: Readonly<Record<number, DescribedAnswer>>;
}

export interface DescribedAnswer {
  readonly description: string;
  /** Media types. */
  readonly content?: Readonly<Record<string, SchemaName>>;
  /** Whether it carries an ETag. */
  readonly tagged?: boolean;
}

export interface AdminEndpoint {
  readonly method: AdminMethod;
  /** `{name}` stands for one segment, percent-decoded. */
  readonly path: string;
  readonly access: Access;
  /** Default: `bodyBytesMax`. */
  readonly bodyBytesMax?: number;
  readonly about: EndpointDescription;
  readonly handle: (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>;
}

/** A request's body must fit into this unless its endpoint says otherwise; 413. */
export const bodyBytesMax = 1024 * 1024;
