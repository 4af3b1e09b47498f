import { nameProblem } from "./leaves.ts";
import { checkDiscover } from "./check-discover.ts";
import { checkPolicies } from "./check-policies.ts";
import { fullAddress } from "./normalize.ts";
import { quote } from "./problems.ts";
import type { Path, Problem } from "./problems.ts";
import type { ConsumerResource } from "./resources.ts";

/*
 * What a schema of single values cannot say. Each check looks at the document as it is written and passes over what
 * has the wrong type, so that it finds its problems beside those of the schema, not after them.
 */

type MapOf = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is MapOf {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function entriesOf(value: unknown): [number, unknown][] {
  return Array.isArray(value) ? [...value.entries()] : [];
}

function error(path: Path, message: string, hint?: string): Problem {
  return { path, message, ...(hint === undefined ? {} : { hint }), severity: "error" };
}

export function checkRoute(route: unknown, path: Path): Problem[] {
  if (!isMap(route)) return [];
  const problems: Problem[] = [];
  const { to, respond, fallback, match } = route;
  if (to === undefined && respond === undefined) {
    problems.push(
      error(path, 'goes nowhere: it needs "to" or "respond"', "name a service under to, or answer with respond"),
    );
  }
  if (to !== undefined && respond !== undefined) {
    problems.push(error([...path, "respond"], 'a route has either "to" or "respond"', "remove one of the two"));
  }
  if (respond !== undefined) problems.push(...checkRespond(respond, [...path, "respond"]));
  if (respond !== undefined && fallback !== undefined) {
    problems.push(error([...path, "fallback"], 'a fallback has no use beside "respond"', "remove fallback"));
  }
  problems.push(...checkDelivery(route, path));
  problems.push(...checkDestinations(to, [...path, "to"]), ...checkFallback(fallback, [...path, "fallback"]));
  if (isMap(match)) problems.push(...checkMatch(match, [...path, "match"]));
  for (const [index, one] of entriesOf(match)) problems.push(...checkMatch(one, [...path, "match", index]));
  problems.push(...checkChain(route["use"], [...path, "use"]));
  return problems;
}

function checkDelivery({ delivery, respond, to }: MapOf, path: Path): Problem[] {
  const written = isMap(delivery) ? (delivery["mode"] ?? "async") : delivery;
  if (written !== "async") return [];
  const at = [...path, "delivery"];
  if (respond !== undefined) return [error(at, 'has no use beside "respond": nothing is delivered', "remove delivery")];
  if (Array.isArray(to) && to.length > 1) {
    return [error(at, "needs one service that messages go to", "name one service under to, or remove delivery")];
  }
  return [];
}

function checkDestinations(to: unknown, path: Path): Problem[] {
  const weights = entriesOf(to).map(([, one]) => (isMap(one) ? (one["weight"] ?? 1) : 1));
  if (weights.length === 0 || weights.some((weight) => weight !== 0)) return [];
  return [error(path, "the weights add up to 0: no service would take a request", "give one a weight above 0")];
}

function checkFallback(fallback: unknown, path: Path): Problem[] {
  if (!isMap(fallback)) return [];
  const { service, respond } = fallback;
  const problems = respond === undefined ? [] : checkRespond(respond, [...path, "respond"]);
  if ((service === undefined) === (respond === undefined)) {
    problems.push(error(path, 'a fallback has exactly one of "service" and "respond"'));
  }
  return problems;
}

function checkRespond(respond: unknown, path: Path): Problem[] {
  if (!isMap(respond)) return [];
  const { status, body, headers } = respond;
  const problems: Problem[] = [];
  if ((status === 204 || status === 304 || status === 205) && typeof body === "string" && body !== "") {
    problems.push(
      error(
        [...path, "body"],
        `an answer with status ${status} has no body`,
        "remove the body or choose another status",
      ),
    );
  }
  for (const name of isMap(headers) ? Object.keys(headers) : []) {
    if (
      !["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer"].includes(
        name.toLowerCase(),
      )
    )
      continue;
    problems.push(error([...path, "headers", name], `${quote(name)} is set by the gateway itself`, "remove it"));
  }
  return problems;
}

/** Conditions of which two meanings are written at once, and names that differ in case only. */
export function checkMatch(match: unknown, path: Path): Problem[] {
  if (!isMap(match)) return [];
  const problems: Problem[] = [];
  for (const kind of ["headers", "query", "cookies"]) {
    const conditions = match[kind];
    if (!isMap(conditions)) continue;
    const seen = new Set<string>();
    for (const [name, condition] of Object.entries(conditions)) {
      const at = [...path, kind, name];
      const key = kind === "headers" ? name.toLowerCase() : name;
      if (seen.has(key)) problems.push(error(at, `the header ${quote(key)} has two conditions`));
      seen.add(key);
      if (!isMap(condition)) continue;
      if ("regex" in condition === "exists" in condition) {
        problems.push(error(at, 'a condition is a text, or exactly one of "regex" and "exists"'));
      }
    }
  }
  return problems;
}

/** `as` replaces the position where the entry is not in a list: a named configuration. */
export function checkChain(chain: unknown, path: Path, as?: string | number): Problem[] {
  const problems: Problem[] = [];
  for (const [index, entry] of entriesOf(chain)) {
    if (!isMap(entry)) continue;
    const at = [...path, as ?? index];
    const { when, ...rest } = entry;
    const names = Object.keys(rest);
    const [name] = names;
    if (name === undefined) {
      problems.push(error(at, "names no middleware", "write a name, or a map such as { strip-prefix: /api }"));
    } else if (names.length > 1) {
      const listed = names.map(quote).join(", ");
      problems.push(error(at, `one step has one middleware, found ${listed}`, "make each its own entry of the list"));
    } else {
      const wrongName = nameProblem(name);
      if (wrongName !== undefined) problems.push(error([...at, name], wrongName));
    }
    problems.push(...checkMatch(when, [...at, "when"]));
  }
  return problems;
}

export function checkService(service: unknown, path: Path): Problem[] {
  if (!isMap(service)) return [];
  const problems: Problem[] = [];
  const seen = new Map<string, number>();
  for (const [index, instance] of entriesOf(service["instances"])) {
    if (!isMap(instance) || typeof instance["address"] !== "string") continue;
    const address = instance["address"].toLowerCase();
    const first = seen.get(address);
    const at = [...path, "instances", index, "address"];
    if (first !== undefined)
      problems.push(error(at, `${quote(address)} is listed twice`, `remove it, or raise the weight of entry ${first}`));
    else seen.set(address, index);
  }
  problems.push(...checkPolicies(service, path), ...checkDiscover(service["discover"], [...path, "discover"]));
  const { instances, discover } = service;
  if (discover !== undefined) return [...problems, ...checkChain(service["use"], [...path, "use"])];
  if (instances === undefined || (Array.isArray(instances) && instances.length === 0)) {
    const message = "has no instances: every request to it is answered with 503 HG_NO_INSTANCE";
    problems.push({ path, message, hint: 'list addresses under "instances"', severity: "warning" });
  }
  problems.push(...checkChain(service["use"], [...path, "use"]));
  return problems;
}

export function checkGateway(gateway: unknown, path: Path): Problem[] {
  if (!isMap(gateway)) return [];
  const problems: Problem[] = [
    ...checkStore(gateway["store"], [...path, "store"]),
    ...checkRegistry(gateway["registry"], gateway["store"], [...path, "registry", "prefix"]),
    ...checkQueue(gateway, path),
  ];
  const seen = new Set<string>();
  const admin = isMap(gateway["admin"]) ? gateway["admin"]["address"] : undefined;
  const places: [Path, unknown][] = entriesOf(gateway["listen"]).map(([index, one]) => [
    [...path, "listen", index, "address"],
    isMap(one) ? one["address"] : undefined,
  ]);
  for (const [at, written] of [...places, [[...path, "admin", "address"], admin] satisfies [Path, unknown]]) {
    if (typeof written !== "string") continue;
    const address = fullAddress(written);
    // Port 0 is a free one, a different one each time.
    if (seen.has(address) && !address.endsWith(":0"))
      problems.push(error(at, `${quote(address)} is already listened on`));
    seen.add(address);
  }
  return problems;
}

function checkQueue({ queue, redis }: MapOf, path: Path): Problem[] {
  if (!isMap(queue) || queue["store"] !== "redis" || redis !== undefined) return [];
  const hint = 'add gateway.redis with its url, as in "redis://127.0.0.1:6379"';
  return [error([...path, "queue", "store"], "the queue is to be in Redis, and no Redis is named", hint)];
}

function checkStore(store: unknown, path: Path): Problem[] {
  if (!isMap(store)) return [];
  const { etcd, embedded } = store;
  if ((etcd === undefined) === (embedded === undefined)) {
    return [error(path, 'a store is exactly one of "etcd" and "embedded"', "name one of them, or remove store")];
  }
  if (!isMap(etcd)) return [];
  const problems: Problem[] = [];
  const { username, password, tls } = etcd;
  if (password !== undefined && username === undefined) {
    problems.push(error([...path, "etcd", "password"], "has no use without a username", "add username, or remove it"));
  }
  if (isMap(tls) && (tls["cert"] === undefined) !== (tls["key"] === undefined)) {
    problems.push(error([...path, "etcd", "tls"], '"cert" and "key" belong together', "give both, or neither"));
  }
  return problems;
}

/** One within the other, and a resource would be taken for an instance. */
function checkRegistry(registry: unknown, store: unknown, path: Path): Problem[] {
  const slashed = (prefix: unknown, otherwise: string): string =>
    typeof prefix === "string" ? prefix.replace(/\/?$/, "/") : otherwise;
  const etcd = isMap(store) && isMap(store["etcd"]) ? store["etcd"] : {};
  const embedded = isMap(store) && isMap(store["embedded"]) ? store["embedded"] : {};
  const own = slashed(isMap(registry) ? registry["prefix"] : undefined, "/services/");
  const other = slashed(etcd["prefix"] ?? embedded["prefix"], "/headgate/");
  if (!own.startsWith(other) && !other.startsWith(own)) return [];
  return [error(path, `lies within the store's prefix ${quote(other)}, or around it`, "choose another prefix")];
}

/** A key or subject that two consumers claim would make one of them act as the other. The key itself is not told. */
export function checkConsumers(consumers: Readonly<Record<string, ConsumerResource>>): Problem[] {
  const problems: Problem[] = [];
  const keys = new Map<string, string>();
  const subjects = new Map<string, string>();
  for (const [name, { keys: own, jwt }] of Object.entries(consumers)) {
    for (const [index, key] of own.entries()) {
      const other = keys.get(key);
      const at = ["consumers", name, "keys", index];
      if (other !== undefined)
        problems.push(
          error(at, `the key is also one of consumer ${quote(other)}`, "give each key to one consumer, once"),
        );
      keys.set(key, other ?? name);
    }
    if (jwt === undefined) continue;
    const other = subjects.get(jwt.subject);
    const at = ["consumers", name, "jwt", "subject"];
    if (other !== undefined) problems.push(error(at, `the subject is also that of consumer ${quote(other)}`));
    subjects.set(jwt.subject, other ?? name);
  }
  return problems;
}
