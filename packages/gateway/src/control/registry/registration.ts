import { z } from "zod";
import { textOf } from "../store/keys.ts";
import type { Key, KeyValue } from "../store/store.ts";

/** `DRAINING` finishes what runs and takes nothing new. */
export type RegistrationStatus = "UP" | "DOWN" | "DRAINING";

/** An instance as it announced itself. */
export interface Registration {
  readonly service: string;
  /** `host:port`, lower case. */
  readonly address: string;
  readonly status: RegistrationStatus;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  readonly revision: number;
  /** Whether it ends by itself when nobody keeps it alive. */
  readonly leased: boolean;
}

/** Why a key of the registry is not taken for an instance. */
export interface RegistrationProblem {
  readonly key: string;
  readonly revision: number;
  /** One sentence without a final stop. */
  readonly message: string;
}

// What else an instance tells (start time, tags) is its own business.
const announced = z.object({
  status: z
    .string()
    .transform((text) => text.toUpperCase())
    .pipe(z.enum(["UP", "DOWN", "DRAINING"]))
    .default("UP"),
  weight: z.int().min(0).max(1_000_000).default(1),
  zone: z.string().min(1).max(128).optional(),
  version: z.string().max(128).optional(),
});

/**
 * Reads `<prefix><service>/<host:port>`. The value is JSON, or any other text: then the instance is up, whatever the
 * text says. `prefix` ends with `/`.
 */
export function parseRegistration(prefix: Key, kv: KeyValue): Registration | RegistrationProblem {
  const place = splitKey(prefix, kv.key);
  const problem = (message: string): RegistrationProblem => ({
    key: textOf(kv.key),
    revision: kv.modRevision,
    message,
  });
  if (place === undefined) return problem(`expected ${textOf(prefix)}<service>/<host:port>`);
  const value = readValue(kv.value.toString("utf8"));
  if (typeof value === "string") return problem(value);
  const { status, weight, zone, version } = value;
  return {
    ...place,
    status,
    weight,
    ...(zone === undefined ? {} : { zone }),
    ...(version === undefined ? {} : { version }),
    revision: kv.modRevision,
    leased: kv.lease !== "0",
  };
}

/** Which instance a key is of; undefined for a key that can be none. */
export function splitKey(prefix: Key, key: Key): { readonly service: string; readonly address: string } | undefined {
  if (!key.startsWith(prefix)) return undefined;
  const rest = textOf(key.slice(prefix.length));
  const slash = rest.indexOf("/");
  const service = rest.slice(0, Math.max(slash, 0));
  const address = rest.slice(slash + 1).toLowerCase();
  if (!isServiceName(service) || !isAddress(address)) return undefined;
  return { service, address };
}

/** Whether instances can announce themselves under this name. */
export function isServiceName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name);
}

/** `host:port` in lower case, IPv6 in brackets. */
export function isAddress(address: string): boolean {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9]([a-z0-9._-]*[a-z0-9])?)):(\d{1,5})$/.exec(address);
  const port = Number(parts?.[4]);
  return parts !== null && port >= 1 && port <= 65_535;
}

function readValue(text: string): z.output<typeof announced> | string {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // "active", as it is usually put; but what wants to be JSON and is none may say that it is down.
    return text.trimStart().startsWith("{") ? "the value is not valid JSON" : announced.parse({});
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return announced.parse({});
  const parsed = announced.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return `${issue?.path.join(".") ?? "the value"}: ${issue?.message ?? "is not valid"}`;
}
