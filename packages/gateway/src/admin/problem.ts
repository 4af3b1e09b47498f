import type { AdminAnswer } from "./endpoint.ts";

/** Ends a request with this status and an RFC 9457 problem. */
export class AdminError extends Error {
  readonly status: number;
  /** Members beside `detail`. */
  readonly extra: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    detail: string,
    extra: Readonly<Record<string, unknown>> = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.name = "AdminError";
    this.status = status;
    this.extra = extra;
    this.headers = headers;
  }
}

const titles: Readonly<Record<number, string>> = {
  400: "The request is not valid",
  401: "A token is required",
  403: "This is not allowed",
  404: "There is nothing here",
  405: "The method is not allowed here",
  409: "This cannot be done now",
  412: "The precondition does not hold",
  413: "The body is too large",
  415: "The body's type is not understood",
  422: "The configuration is not valid",
  500: "The gateway failed",
  503: "The gateway is not ready",
  507: "The store is full",
};

/** The answer that an error comes to. */
export function problemAnswer({ status, message, extra, headers }: AdminError): AdminAnswer {
  const title = titles[status] ?? "The request failed";
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="headgate"' } : {}),
      ...headers,
    },
    json: { type: "about:blank", title, status, detail: message, ...extra },
  };
}
