import type { Path, Problem } from "./problems.ts";

/*
 * What the schema of a service's policies cannot say: settings of which one excludes or needs another.
 */

type MapOf = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is MapOf {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Looks at balancing, health checks and limits as they are written; passes over what has the wrong type. */
export function checkPolicies({ balance, healthCheck, concurrency }: MapOf, path: Path): Problem[] {
  return [
    ...checkBalance(balance, [...path, "balance"]),
    ...checkHealthCheck(healthCheck, [...path, "healthCheck"]),
    ...checkConcurrency(concurrency, [...path, "concurrency"]),
  ];
}

function error(path: Path, message: string, hint: string): Problem {
  return { path, message, hint, severity: "error" };
}

const hashPlaces = ["header", "cookie", "query", "param", "client"];

function checkBalance(balance: unknown, path: Path): Problem[] {
  if (!isMap(balance)) return [];
  const { hash, sticky } = balance;
  if ((hash === undefined) === (sticky === undefined)) {
    return [error(path, 'a map has exactly one of "hash" and "sticky"', "name one of them")];
  }
  if (!isMap(hash)) return [];
  const places = hashPlaces.filter((place) => hash[place] !== undefined);
  if (places.length === 1) return [];
  return [error([...path, "hash"], `needs exactly one of ${hashPlaces.join(", ")}`, "such as { header: x-user }")];
}

function checkHealthCheck(check: unknown, path: Path): Problem[] {
  if (!isMap(check)) return [];
  const { path: target, tcp, body, method } = check;
  if ((target === undefined) === (tcp === undefined)) {
    return [error(path, 'needs exactly one of "path" and "tcp"', "such as { path: /healthz }")];
  }
  if (tcp !== undefined && body !== undefined) {
    return [error([...path, "body"], "a TCP check only connects and reads no body", 'remove body, or check a "path"')];
  }
  if (body !== undefined && method === "HEAD") {
    return [error([...path, "body"], "an answer to HEAD has no body", "use method GET, or remove body")];
  }
  return [];
}

function checkConcurrency(concurrency: unknown, path: Path): Problem[] {
  if (!isMap(concurrency)) return [];
  const { limit, adaptive, min, max, initial } = concurrency;
  if ((limit === undefined) === (adaptive === undefined)) {
    return [error(path, 'a map has exactly one of "limit" and "adaptive"', "such as { adaptive: true }, or a number")];
  }
  if (limit !== undefined && [min, max, initial].some((one) => one !== undefined)) {
    return [error(path, '"min", "max" and "initial" belong to an adaptive limit', 'remove them, or use "adaptive"')];
  }
  if (typeof min === "number" && typeof max === "number" && min > max) {
    return [error([...path, "min"], `is above "max" (${max})`, "lower min, or raise max")];
  }
  return [];
}
