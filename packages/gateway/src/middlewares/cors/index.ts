import { duration } from "@headgate/schema";
import { z } from "zod";
import { errorWithFields, isFieldName } from "../../core/field-rules.ts";
import type { Exchange } from "../../proxy/exchange.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";
import { compileOrigins, originRule } from "./origins.ts";

const token = z.string().refine(isFieldName, { error: "expected a name without spaces, or *" });
const settings = z.strictObject({
  origins: z.array(originRule).min(1).prefault(["*"]),
  methods: z.array(token).min(1).prefault(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
  headers: z.array(token).prefault(["*"]),
  expose: z.array(token).prefault([]),
  credentials: z.boolean().default(false),
  maxAge: duration().optional(),
});

/** What `origins` alone may be written as. */
function withOrigins(input: unknown): unknown {
  if (typeof input === "string") return { origins: [input] };
  return Array.isArray(input) ? { origins: input as unknown[] } : input; // its elements are validated next
}

/**
 * Cross-origin resource sharing as the Fetch standard has it (§3.2): answers preflights itself and decides alone what
 * browsers may read; the instance's own CORS fields are dropped. Runs once per exchange.
 */
export default defineMiddleware({
  name: "cors",
  config: z.preprocess(withOrigins, settings),
  build(options) {
    const policy = compilePolicy(options);
    return function cors(exchange, next) {
      const { headers, method } = exchange.request;
      if (method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method")) {
        exchange.respond({ status: 204, headers: preflightFields(exchange, policy) });
        return;
      }
      return shareAnswer(exchange, next, policy);
    };
  },
});

interface Policy {
  /** The value of Access-Control-Allow-Origin for this origin, or undefined where it is not allowed. */
  readonly allow: (origin: string) => string | undefined;
  /** Whether every origin gets the same answer: then caches need not tell them apart. */
  readonly same: boolean;
  readonly credentials: boolean;
  readonly methods: readonly string[];
  /** Undefined: what the browser asks for. */
  readonly methodsText: string | undefined;
  readonly headersText: string | undefined;
  readonly exposeText: string;
  readonly maxAgeSeconds: number | undefined;
}

function compilePolicy(options: z.output<typeof settings>): Policy {
  const { credentials } = options;
  const matches = compileOrigins(options.origins);
  const any = options.origins.includes("*");
  if (credentials && options.expose.includes("*")) {
    throw new Error('"expose" cannot be * with credentials: browsers take it for a header of that name');
  }
  return {
    // With credentials browsers refuse `*`; "null" is the origin of any sandboxed frame and is allowed only by name.
    allow: (origin) => {
      if (any && !credentials) return "*";
      return matches(origin) || (any && origin !== "null") ? origin : undefined;
    },
    same: any && !credentials,
    credentials,
    methods: options.methods,
    methodsText: options.methods.includes("*") ? undefined : options.methods.join(", "),
    headersText: options.headers.includes("*") ? undefined : options.headers.join(", "),
    exposeText: options.expose.join(", "),
    maxAgeSeconds: options.maxAge === undefined ? undefined : Math.floor(options.maxAge / 1000),
  };
}

/** For an origin that is not allowed: no CORS field, and the browser stops there. */
function preflightFields({ request }: Exchange, policy: Policy): Record<string, string> {
  const vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
  const fields: Record<string, string> = { vary };
  const allowed = policy.allow(request.headers.get("origin") ?? "");
  if (allowed === undefined) return fields;
  fields["access-control-allow-origin"] = allowed;
  if (policy.credentials) fields["access-control-allow-credentials"] = "true";
  fields["access-control-allow-methods"] =
    policy.methodsText ?? namesOnly(request.headers.getAll("access-control-request-method"));
  const names = policy.headersText ?? namesOnly(request.headers.getAll("access-control-request-headers"));
  if (names !== "") fields["access-control-allow-headers"] = names;
  if (policy.maxAgeSeconds !== undefined) fields["access-control-max-age"] = String(policy.maxAgeSeconds);
  return fields;
}

/** A list as it may be sent back: valid names only. */
function namesOnly(values: readonly string[]): string {
  const names = values.flatMap((value) => value.split(",")).map((name) => name.trim());
  return names.filter(isFieldName).join(", ");
}

/** An error the page cannot read looks like a network failure to it, so the gateway's own answers are shared too. */
async function shareAnswer(exchange: Exchange, next: () => Promise<void>, policy: Policy): Promise<void> {
  const origin = exchange.request.headers.get("origin");
  // `*` is right for every request, and a cached answer without it would fail a later page.
  const allowed = policy.same ? "*" : origin === undefined ? undefined : policy.allow(origin);
  try {
    await next();
  } catch (error) {
    throw errorWithFields(error, { ...answerFields(allowed, policy), ...(policy.same ? {} : { vary: "Origin" }) });
  }
  const { headers } = exchange.response;
  for (const name of instanceFields) headers.delete(name);
  for (const [name, value] of Object.entries(answerFields(allowed, policy))) headers.set(name, value);
  if (!policy.same && !variesByOrigin(headers.getAll("vary"))) headers.append("vary", "Origin");
}

const instanceFields = [
  "access-control-allow-origin",
  "access-control-allow-credentials",
  "access-control-allow-methods",
  "access-control-allow-headers",
  "access-control-expose-headers",
  "access-control-max-age",
];

function answerFields(allowed: string | undefined, policy: Policy): Record<string, string> {
  if (allowed === undefined) return {};
  const fields: Record<string, string> = { "access-control-allow-origin": allowed };
  if (policy.credentials) fields["access-control-allow-credentials"] = "true";
  if (policy.exposeText !== "") fields["access-control-expose-headers"] = policy.exposeText;
  return fields;
}

function variesByOrigin(values: readonly string[]): boolean {
  return values.some((value) => value.split(",").some((name) => /^\s*(?:origin|\*)\s*$/i.test(name)));
}
