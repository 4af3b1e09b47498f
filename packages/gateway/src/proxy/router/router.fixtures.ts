import assert from "node:assert/strict";
import { ExchangeRequest, type Client } from "../exchange.ts";
import { Fields } from "../http1/fields.ts";
import { normalizeTarget } from "./normalize.ts";

/** A request for tests and benchmarks: what the wire would hand to the router. */
export interface RequestFacts {
  readonly method?: string;
  readonly target?: string;
  readonly host?: string;
  readonly headers?: Iterable<readonly [string, string]> | Readonly<Record<string, string>>;
}

export function requestOf(facts: RequestFacts): ExchangeRequest {
  const target = facts.target ?? "/";
  const normalized = normalizeTarget(target);
  assert.ok(normalized, `${target} is no target`);
  return new ExchangeRequest({
    method: facts.method ?? "GET",
    target,
    host: facts.host ?? "",
    headers: Fields.from(facts.headers ?? []),
    ...normalized,
    framing: "none",
    contentLength: -1,
  });
}

export function clientOf(ip = "192.0.2.1"): Client {
  return { ip, port: 40_000, peer: ip, scheme: "http", localPort: 8080 };
}
