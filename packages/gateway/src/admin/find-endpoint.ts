import { suggestion } from "@headgate/schema";
import type { AdminEndpoint } from "./endpoint.ts";
import { AdminError } from "./problem.ts";

/** An endpoint and what its path's parameters stand for. */
export interface FoundEndpoint {
  readonly endpoint: AdminEndpoint;
  readonly parameters: ReadonlyMap<string, string>;
}

/** The endpoints of one path, by method. */
export interface FoundPath {
  readonly endpoints: readonly AdminEndpoint[];
  /** As the path has them. */
  readonly encoded: ReadonlyMap<string, string>;
}

/** The endpoints of a path. */
export function findPath(endpoints: readonly AdminEndpoint[], path: string): FoundPath {
  const segments = path.split("/");
  let encoded: ReadonlyMap<string, string> = new Map();
  const here = endpoints.filter((endpoint) => {
    const found = matchPath(endpoint.path, segments);
    if (found !== undefined) encoded = found;
    return found !== undefined;
  });
  return { endpoints: here, encoded };
}

/** The one that takes the method. Throws an AdminError with 404, 405, or 400 where a parameter is not percent-encoded. */
export function chooseMethod(
  { endpoints, encoded }: FoundPath,
  method: string,
  path: string,
  all: readonly AdminEndpoint[],
): FoundEndpoint {
  const wanted = method === "HEAD" ? "GET" : method;
  const endpoint = endpoints.find((candidate) => candidate.method === wanted);
  if (endpoint !== undefined) {
    const parameters = new Map([...encoded].map(([name, segment]) => [name, decoded(segment)]));
    return { endpoint, parameters };
  }
  if (endpoints.length === 0) throw new AdminError(404, `There is no ${path}${meant(path, all)}.`);
  const allowed = endpoints.flatMap((candidate) => (candidate.method === "GET" ? ["GET", "HEAD"] : [candidate.method]));
  const allow = allowed.join(", ");
  throw new AdminError(405, `${path} takes ${allow}.`, {}, { allow });
}

function matchPath(pattern: string, segments: readonly string[]): ReadonlyMap<string, string> | undefined {
  const parts = pattern.split("/");
  if (parts.length !== segments.length) return undefined;
  const parameters = new Map<string, string>();
  for (const [index, part] of parts.entries()) {
    const segment = segments[index] ?? "";
    if (!part.startsWith("{")) {
      if (part !== segment) return undefined;
    } else if (segment === "") return undefined;
    else parameters.set(part.slice(1, -1), segment);
  }
  return parameters;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new AdminError(400, `The path's part "${segment}" is not percent-encoded UTF-8.`);
  }
}

/** A route's singular is the most common slip: `/v1/route/users`. */
function meant(path: string, all: readonly AdminEndpoint[]): string {
  const [, version = "", first = ""] = path.split("/");
  const known = new Set(all.map((endpoint) => endpoint.path.split("/").slice(0, 3).join("/")));
  const hint = suggestion(`/${version}/${first}`, known);
  return hint === undefined ? "" : `: ${hint.replace(/\?$/, "")}`;
}
