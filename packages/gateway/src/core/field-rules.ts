import { GatewayError } from "./errors.ts";

const reasons: Readonly<Record<string, string>> = {
  connection: "the gateway manages its connections itself",
  "keep-alive": "the gateway manages its connections itself",
  "proxy-connection": "the gateway manages its connections itself",
  upgrade: "the gateway manages its connections itself",
  "content-length": "the gateway delimits bodies itself; a second opinion lets requests be smuggled",
  "transfer-encoding": "the gateway delimits bodies itself; a second opinion lets requests be smuggled",
  te: "it belongs to one connection and is not sent on",
  trailer: "the gateway delimits bodies itself",
};

/**
 * Why a configuration may not touch this field, or undefined where it may. Hop-by-hop and framing fields (RFC 9110
 * §7.6.1, RFC 9112 §6) belong to the wire.
 */
export function wireFieldReason(name: string): string | undefined {
  const lower = name.toLowerCase();
  return Object.hasOwn(reasons, lower) ? reasons[lower] : undefined;
}

/** Whether a text is a field name (RFC 9110 §5.1). */
export function isFieldName(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text);
}

/**
 * The same error with more fields on its answer: a step that changes answers changes the gateway's own too. An error
 * that is not a GatewayError would be answered as HG_INTERNAL, and becomes that. `fields` replace those of the same
 * name, except that `Vary` grows.
 */
export function errorWithFields(error: unknown, fields: Readonly<Record<string, string>>): GatewayError {
  if (!(error instanceof GatewayError)) return new GatewayError("HG_INTERNAL", { cause: error, headers: fields });
  const headers = new Map<string, [string, string]>();
  for (const [name, value] of Object.entries(error.details.headers ?? {}))
    headers.set(name.toLowerCase(), [name, value]);
  for (const [name, value] of Object.entries(fields)) {
    const old = headers.get(name.toLowerCase());
    const merged = old !== undefined && name.toLowerCase() === "vary" ? `${old[1]}, ${value}` : value;
    headers.set(name.toLowerCase(), [name, merged]);
  }
  return new GatewayError(error.code, {
    ...error.details,
    headers: Object.fromEntries(headers.values()),
    // The stack of where it happened, for the log.
    cause: error.details.cause ?? error,
  });
}
