import type { Problem } from "./problems.ts";
import { quote } from "./problems.ts";
import type { Match, RouteResource } from "./resources.ts";

/**
 * Warnings about routes that can never be reached: another route takes the same hosts, path, methods and conditions
 * and comes first by priority, or by name where the priorities are equal. Only identical conditions are compared, not
 * those that happen to imply each other; several routes that together hide one are found, one for each host and method.
 */
export function unreachableRoutes(routes: Readonly<Record<string, RouteResource>>): Problem[] {
  const winners = new Map<string, string>();
  const entries = Object.entries(routes);
  for (const [name, route] of entries) {
    for (const match of route.match) {
      for (const key of requestShapes(match)) {
        const other = winners.get(key);
        if (other === undefined || comesFirst(name, other, routes)) winners.set(key, name);
      }
    }
  }
  const problems: Problem[] = [];
  for (const [name, route] of entries) {
    if (route.match.some((match) => requestShapes(match).some((key) => winners.get(key) === name))) continue;
    const hiding = new Set(route.match.flatMap(requestShapes).map((key) => winners.get(key) ?? name));
    const others = [...hiding].map(quote).join(", ");
    problems.push({
      path: ["routes", name],
      message: `can never be reached: ${others} takes the same requests and comes first`,
      hint: "give it a higher priority, other conditions, or remove it",
      severity: "warning",
    });
  }
  return problems;
}

function comesFirst(name: string, other: string, routes: Readonly<Record<string, RouteResource>>): boolean {
  const difference = (routes[name]?.priority ?? 0) - (routes[other]?.priority ?? 0);
  return difference === 0 ? name < other : difference > 0;
}

// A match never changes: of ten thousand routes that are validated again, those that are the same objects cost nothing.
const knownShapes = new WeakMap<Match, readonly string[]>();

/**
 * One text for each host and method of an alternative: equal texts take exactly the same requests. Among the routes
 * that have a text in common the one of higher priority wins, then the lower name.
 */
export function requestShapes(match: Match): readonly string[] {
  let shapes = knownShapes.get(match);
  if (shapes === undefined) knownShapes.set(match, (shapes = writeShapes(match)));
  return shapes;
}

function writeShapes(match: Match): string[] {
  const conditions = JSON.stringify([
    // Parameter names do not change what a path takes; a match without a path takes what `/*` takes, but less specifically.
    match.path?.replace(/\/:[^/]+/g, "/:") ?? "",
    sorted(match.headers),
    sorted(match.query),
    sorted(match.cookies),
    [...(match.clients ?? [])].sort(),
  ]);
  const hosts = match.hosts ?? [""];
  const methods = match.methods ?? [""];
  return hosts.flatMap((host) => methods.map((method) => `${host} ${method} ${conditions}`));
}

function sorted(conditions: Readonly<Record<string, unknown>> = {}): unknown {
  return Object.entries(conditions).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
