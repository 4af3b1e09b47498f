import { redacted } from "../core/secrets.ts";
import type { PredicateResult } from "../proxy/router/conditions.ts";

const secretNames =
  /secret|passw(?:or)?d|passphrase|credential|authorization|private-?key|api-?key|signature|tokens?$|^keys?$|^(?:sid|session)(?:[-_]?id)?$/i;

/** Whether a setting, header, cookie or parameter of that name is likely to hold a secret. */
export function namesSecret(name: string): boolean {
  return secretNames.test(name);
}

/**
 * A copy of a middleware's settings for people to read: values under a name that speaks of a secret, cookies that are
 * set, and credentials in URLs are replaced by `[redacted]`.
 */
export function redactSettings(settings: unknown): unknown {
  if (typeof settings === "string") return settings.replace(/\/\/[^/@\s]*@/g, `//${redacted}@`);
  if (Array.isArray(settings)) return settings.map(redactSettings);
  if (typeof settings !== "object" || settings === null) return settings;
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]: [string, unknown]) => [name, redactSetting(name, value)]),
  );
}

function redactSetting(name: string, value: unknown): unknown {
  // A cookie's name is a setting, a cookie's value has an equals sign in front.
  if (/^(?:set-)?cookie$/i.test(name) && typeof value === "string" && value.includes("=")) return redacted;
  if (!namesSecret(name)) return redactSettings(value);
  return typeof value === "boolean" || value === null || value === undefined ? value : redacted;
}

/** Hides the texts of a predicate on a header, parameter or cookie that is likely to hold a secret. */
export function redactPredicate(result: PredicateResult): PredicateResult {
  const name = /^(?:headers|query|cookies)\.(.*)$/s.exec(result.predicate)?.[1];
  if (name === undefined || !namesSecret(name)) return result;
  const hide = (text: string): string => (/^(?:present|absent|\(absent\))$/.test(text) ? text : redacted);
  return { ...result, expected: hide(result.expected), actual: hide(result.actual) };
}
