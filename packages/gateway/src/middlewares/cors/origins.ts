import { z } from "zod";

/** Longest regular expression, in characters. */
const regexLengthMax = 1024;

const exact = /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s*]+$/;
const pattern = /^[a-z][a-z0-9+.-]*:\/\/\*\.[^/?#\s*]+$/;

const originText = z
  .string()
  .refine((text) => text === "*" || text === "null" || exact.test(text) || pattern.test(text), {
    error:
      'expected an origin without a path such as https://app.example.com or https://*.example.com, "*", or { regex: ... }',
  });

/** An origin, `https://*.example.com` (one or more labels), `*`, or an unanchored regular expression. */
export const originRule = z.union([
  originText,
  z.strictObject({ regex: z.string().max(regexLengthMax).refine(compiles, { error: "is not a regular expression" }) }),
]);

export type OriginRule = z.output<typeof originRule>;

/** Whether one of the rules takes an origin. `*` is the caller's: it is no statement on any one origin. Per snapshot. */
export function compileOrigins(rules: readonly OriginRule[]): (origin: string) => boolean {
  const exact = new Set<string>();
  const tests: ((origin: string) => boolean)[] = [];
  for (const rule of rules) {
    if (typeof rule !== "string") {
      const regex = new RegExp(rule.regex);
      tests.push((origin) => regex.test(origin));
    } else if (rule.includes("://*.")) {
      tests.push(subdomainTest(rule));
    } else if (rule !== "*") {
      exact.add(rule);
    }
  }
  return (origin) => exact.has(origin) || tests.some((matches) => matches(origin));
}

/** The star is one or more whole labels: `https://*.example.com` takes neither `https://example.com` nor a path in it. */
function subdomainTest(rule: string): (origin: string) => boolean {
  const star = rule.indexOf("*");
  const [front, back] = [rule.slice(0, star), rule.slice(star + 1)];
  return (origin) =>
    origin.startsWith(front) &&
    origin.endsWith(back) &&
    /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(origin.slice(front.length, origin.length - back.length));
}

function compiles(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}
