import { hash } from "node:crypto";
import { duration } from "@headgate/schema";
import { z } from "zod";
import { GatewayError } from "../../core/errors.ts";
import { isFieldName } from "../../core/field-rules.ts";
import { parseAddress } from "../../core/networks.ts";
import type { Exchange } from "../../proxy/exchange.ts";
import type { Fields } from "../../proxy/http1/fields.ts";
import { defineMiddleware, type Counter } from "../../proxy/middleware.ts";

const noRedis = "shared limits in Redis are not available in this version; remove";

const settings = z.strictObject({
  limit: z.int().min(1).max(1_000_000_000),
  per: duration({ minMs: 1 }).prefault("1s"),
  burst: z.int().min(1).max(1_000_000_000).optional(),
  by: z
    .union([
      z.enum(["client", "consumer", "route"]),
      z.strictObject({ header: z.string().refine(isFieldName, "expected the name of a header") }),
    ])
    .default("client"),
  scope: z
    .enum(["gateway", "redis"])
    .refine((scope) => scope === "gateway", `${noRedis} "scope: redis"`)
    .default("gateway"),
  onRedisFailure: z
    .unknown()
    .refine((value) => value === undefined, `${noRedis} "onRedisFailure"`)
    .optional(),
});

type Settings = z.output<typeof settings>;

/**
 * Lets `limit` requests per `per` through, `burst` of them at once; exact over all workers of the gateway (GCRA, see
 * `LimiterState`). Runs once per exchange; ends in HG_RATE_LIMITED with `RateLimit`, `RateLimit-Policy`
 * (draft-ietf-httpapi-ratelimit-headers) and `Retry-After`. A refused request costs nothing of the limit.
 */
export default defineMiddleware({
  name: "rate-limit",
  config: settings,
  build(config, kit) {
    const { limit, per: perMs, burst = limit, by } = config;
    const incrementUs = (perMs * 1000) / limit;
    const toleranceUs = incrementUs * burst;
    const policy = policyField(limit, perMs);
    // Short, since the limiter hashes the whole key for every request; 72 bits, so that no two limits share one.
    const tag = hash("sha256", `${kit.identity}\0${JSON.stringify(by)}`, "base64").slice(0, 12);
    const keyOf = keyFor(by);
    const refused = new Map<string, Counter>(); // by route: names of the configuration, so bounded
    return async function rateLimit(exchange, next) {
      const { allowed, remaining, retryAfterUs, resetAfterUs } = kit.limiter.take(
        tag + keyOf(exchange),
        incrementUs,
        toleranceUs,
      );
      if (!allowed) {
        const route = exchange.routeName;
        let counter = refused.get(route);
        if (counter === undefined) refused.set(route, (counter = kit.counter("rate_limited_total", { route })));
        counter.add(1);
        const seconds = Math.max(1, Math.ceil(retryAfterUs / 1e6));
        throw new GatewayError("HG_RATE_LIMITED", {
          detail: `Try again in ${seconds} s.`,
          headers: {
            "ratelimit-policy": policy,
            ratelimit: `"default";r=0;t=${seconds}`,
            "retry-after": String(seconds),
          },
        });
      }
      await next();
      const { headers } = exchange.response;
      if (isTighter(headers, remaining)) return;
      headers.set("ratelimit-policy", policy);
      headers.set("ratelimit", `"default";r=${remaining};t=${Math.ceil(resetAfterUs / 1e6)}`);
    };
  },
});

/** Whose limit it is. A letter in front keeps the kinds apart: a consumer may be named like an address. */
function keyFor(by: Settings["by"]): (exchange: Exchange) => string {
  const client = ({ client: { ip } }: Exchange): string => `i${clientNetwork(ip)}`;
  if (by === "client") return client;
  if (by === "route") return (exchange) => `r${exchange.routeName}`;
  if (by === "consumer") {
    return (exchange) => (exchange.consumer === undefined ? client(exchange) : `c${exchange.consumer.name}`);
  }
  const { header } = by;
  return (exchange) => {
    const value = exchange.request.headers.get(header);
    return value === undefined ? client(exchange) : `h${value}`;
  };
}

/** An IPv6 client owns at least its /64 (RFC 6177): by single address its limit would be 2^64 limits. */
function clientNetwork(ip: string): string {
  if (!ip.includes(":")) return ip;
  const words = parseAddress(ip);
  return words === undefined ? ip : words.slice(0, 2).join(":");
}

/** `w` is whole seconds: `limit` is stated for the next whole second where `per` is none. */
function policyField(limit: number, perMs: number): string {
  const windowSeconds = Math.ceil(perMs / 1000);
  return `"default";q=${Math.floor((limit * windowSeconds * 1000) / perMs)};w=${windowSeconds}`;
}

/** Whether a limit nearer to the instance left fewer requests than ours: a client is told of the one it meets first. */
function isTighter(headers: Fields, remaining: number): boolean {
  const other = /;r=(\d{1,15})(?:;|$)/.exec(headers.get("ratelimit") ?? "")?.[1];
  return other !== undefined && Number(other) < remaining;
}
