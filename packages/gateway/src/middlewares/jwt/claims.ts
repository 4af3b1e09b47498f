import { TokenError, type Claims } from "./token.ts";

export interface ClaimRules {
  /** Any of these; empty: any issuer, also none. */
  readonly issuers: readonly string[];
  /** Any of these; empty: any audience, also none. */
  readonly audiences: readonly string[];
  readonly leewayMs: number;
}

/** An issuer's clock may be ahead of ours by this much beyond the leeway before `iat` counts as nonsense. */
const issuedAheadMs = 60_000;

/**
 * Checks the registered claims (RFC 7519 §4.1) at `nowMs` (since 1970). Throws a TokenError. Returns until when they
 * hold, Infinity without `exp`.
 */
export function checkClaims(claims: Claims, rules: ClaimRules, nowMs: number): number {
  const { leewayMs } = rules;
  const expiresMs = numericDate(claims, "exp");
  const startsMs = numericDate(claims, "nbf");
  const issuedMs = numericDate(claims, "iat");
  if (expiresMs !== undefined && nowMs >= expiresMs + leewayMs) throw new TokenError("the token has expired");
  if (startsMs !== undefined && nowMs < startsMs - leewayMs) throw new TokenError("the token is not valid yet");
  if (issuedMs !== undefined && nowMs < issuedMs - leewayMs - issuedAheadMs) {
    throw new TokenError("the token was issued in the future");
  }
  if (rules.issuers.length > 0 && !(typeof claims["iss"] === "string" && rules.issuers.includes(claims["iss"]))) {
    throw new TokenError("the issuer of the token is not accepted");
  }
  if (rules.audiences.length > 0) {
    const aud = claims["aud"];
    const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
    if (!rules.audiences.some((audience) => named.includes(audience))) {
      throw new TokenError("the token is for another audience");
    }
  }
  return expiresMs === undefined ? Infinity : expiresMs + leewayMs;
}

/** Milliseconds of a NumericDate (RFC 7519 §2), which is seconds and may have a fraction. */
function numericDate(claims: Claims, name: string): number | undefined {
  if (!Object.hasOwn(claims, name)) return undefined;
  const value = claims[name];
  if (typeof value !== "number" || !Number.isFinite(value)) throw new TokenError(`the claim ${name} is not a number`);
  return value * 1000;
}

/**
 * A claim as text for a header, undefined where there is none: text as it is, numbers and truth values written out,
 * lists of them joined by commas, anything else as JSON. A name with dots reaches into objects, unless a claim has that
 * very name. Non-ASCII text becomes UTF-8 on the wire; control characters are dropped.
 */
export function claimText(claims: Claims, name: string): string | undefined {
  const value = claimAt(claims, name);
  if (value === undefined || value === null) return undefined;
  const text =
    Array.isArray(value) && value.every(isScalar)
      ? value.join(",")
      : isScalar(value)
        ? String(value)
        : JSON.stringify(value);
  return Buffer.from(text, "utf8")
    .toString("latin1")
    .replace(/[\x00-\x1f\x7f]/g, "");
}

function claimAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Claims)[part]; // an object that has the property
  }
  return value;
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
