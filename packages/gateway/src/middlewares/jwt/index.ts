import { hash } from "node:crypto";
import { GatewayError } from "../../core/errors.ts";
import { isSecretName, markSecret } from "../../core/secrets.ts";
import type { Exchange } from "../../proxy/exchange.ts";
import { defineMiddleware, type Kit, type Next } from "../../proxy/middleware.ts";
import { checkClaims, claimText, type ClaimRules } from "./claims.ts";
import { KeysUnavailable, RemoteKeySet } from "./key-set.ts";
import {
  asymmetricAlgorithms,
  publicKey,
  secretKey,
  symmetricAlgorithms,
  type Algorithm,
  type VerificationKey,
} from "./keys.ts";
import { settings, type Settings } from "./settings.ts";
import { acquireShared } from "./shared.ts";
import { readClaims, readHeader, TokenError, verifySignature } from "./token.ts";
import { VerifiedTokens, type Verified } from "./verified.ts";

/** Finds the key a token is to be verified with, among those the configuration allows. */
type FindKey = (
  kid: string | undefined,
  algorithm: Algorithm,
) => VerificationKey | undefined | Promise<VerificationKey | undefined>;

/**
 * Verifies a JSON Web Token (RFC 7519, RFC 8725) and puts its claims on the exchange as `user`, and the consumer with
 * that subject as `consumer`. Runs once per exchange; ends in HG_UNAUTHENTICATED with `WWW-Authenticate: Bearer`
 * (RFC 6750 §3), or in HG_UPSTREAM_CONNECT where there are no keys to verify with. A token seen in the last minute costs
 * one look-up.
 */
export default defineMiddleware({
  name: "jwt",
  config: settings,
  authenticates: ({ optional }) => !optional,
  build(config, kit) {
    const { find, release } = openKeys(config, kit);
    // Other settings are other verdicts; hashed, so that no secret is a key of a map.
    const cacheKey = `tokens:${kit.identity}:${hash("sha256", JSON.stringify(config), "base64")}`;
    const cache = acquireShared(kit.clock, cacheKey, () => new VerifiedTokens(kit.clock));
    const verify = makeVerify(config, kit, find, cache.value);
    const marks = [config.header, config.cookie, config.query].filter(
      (name) => name !== undefined && !isSecretName(name),
    );
    const claimHeaders = Object.values(config.claimsToHeaders);

    const admit = (exchange: Exchange, { claims, headers }: Verified, next: Next): Promise<void> => {
      exchange.user = claims;
      const subject = claims["sub"];
      if (typeof subject === "string") exchange.consumer = exchange.consumers.bySubject(subject) ?? exchange.consumer;
      for (const [name, value] of headers) exchange.request.headers.set(name, value);
      return next();
    };
    return {
      handle: function jwt(exchange, next) {
        for (const name of marks) if (name !== undefined) markSecret(exchange, name);
        const token = findToken(exchange, config);
        // Also without a token: the instance believes these headers, so no client may send them.
        for (const name of claimHeaders) exchange.request.headers.delete(name);
        if (token === undefined) {
          if (config.optional) return next();
          throw refusal("A bearer token is needed.");
        }
        const known = cache.value.get(token);
        if (known !== undefined) return admit(exchange, known, next);
        return verify(token).then((verified) => admit(exchange, verified, next));
      },
      dispose: () => {
        cache.release();
        release();
      },
    };
  },
});

function openKeys(config: Settings, kit: Kit): { find: FindKey; release: () => void } {
  if (config.jwks !== undefined) {
    const url = config.jwks;
    const make = (): RemoteKeySet => new RemoteKeySet(url, kit.fetchJson, kit.clock, kit.log);
    const { value, release } = acquireShared(kit.clock, `keys:${url}`, make);
    value.warmUp();
    return { find: (kid, algorithm) => value.find(kid, algorithm), release };
  }
  const key = config.secret === undefined ? publicKey(config.publicKey ?? "") : secretKey(config.secret);
  // RFC 7518 §3.2 wants a key as long as the hash. Short ones exist; they can be guessed from one token.
  if (config.secret !== undefined && Buffer.byteLength(config.secret) < 32) {
    kit.log.warn(
      { middleware: kit.identity },
      "the jwt secret is shorter than 32 bytes and can be guessed from one token",
    );
  }
  return { find: (_kid, algorithm) => (key.algorithms.includes(algorithm) ? key : undefined), release: () => {} };
}

/** Verifies a token that is not in the cache. Rejects with the error to answer. */
function makeVerify(
  config: Settings,
  kit: Kit,
  find: FindKey,
  cache: VerifiedTokens,
): (token: string) => Promise<Verified> {
  const allowed: readonly Algorithm[] =
    config.algorithms ?? (config.secret === undefined ? asymmetricAlgorithms : symmetricAlgorithms);
  const rules: ClaimRules = {
    issuers: config.issuer ?? [],
    audiences: config.audience ?? [],
    leewayMs: config.leeway,
  };
  const toHeaders = Object.entries(config.claimsToHeaders);
  return async (token) => {
    try {
      const { alg, kid } = readHeader(token);
      if (!allowed.includes(alg)) throw new TokenError("the algorithm of the token is not allowed");
      const key = await find(kid, alg);
      if (key === undefined) throw new TokenError("no key fits the token");
      if (!(await verifySignature(token, alg, key))) throw new TokenError("the signature is not valid");
      const claims = readClaims(token);
      const nowMs = kit.clock.wall();
      const untilMs = checkClaims(claims, rules, nowMs);
      const headers = toHeaders.flatMap(([claim, name]) => {
        const value = claimText(claims, claim);
        return value === undefined ? [] : [[name, value] as const];
      });
      const verified = { claims, headers };
      cache.set(token, verified, untilMs - nowMs);
      return verified;
    } catch (error) {
      if (error instanceof TokenError) throw refusal(`The token is refused: ${error.message}.`, error.message);
      if (!(error instanceof KeysUnavailable)) throw error;
      // Not a 401: the client's token may be good, and a new one would not help.
      throw new GatewayError("HG_UPSTREAM_CONNECT", {
        detail: "The keys that tokens are verified with could not be fetched.",
        headers: { "retry-after": "5" },
        cause: error,
      });
    }
  };
}

/** The token, from the header, else the cookie, else the query. A header that comes twice is refused. */
function findToken(exchange: Exchange, { header, cookie, query }: Settings): string | undefined {
  const { request } = exchange;
  const [value, second] = request.headers.getAll(header);
  // The instance might read the one that was not verified.
  if (second !== undefined) throw refusal(`The header ${header} came more than once.`, "more than one token");
  if (value !== undefined) {
    const bearer = /^bearer +(\S+)$/i.exec(value)?.[1];
    if (bearer !== undefined) return bearer;
    // Another header holds the bare token; in Authorization another scheme is none of ours.
    if (header.toLowerCase() !== "authorization" && value !== "") return value;
  }
  const fromCookie = cookie === undefined ? undefined : request.cookie(cookie);
  const found = fromCookie ?? (query === undefined ? undefined : request.queryParam(query));
  return found === "" ? undefined : found; // an emptied cookie is how a browser signs out
}

/** RFC 6750 §3.1: who sent no token is told of none of its errors. */
function refusal(detail: string, description?: string): GatewayError {
  const error = description === undefined ? "" : `, error="invalid_token", error_description="${description}"`;
  return new GatewayError("HG_UNAUTHENTICATED", {
    detail,
    headers: { "www-authenticate": `Bearer realm="headgate"${error}` },
  });
}
