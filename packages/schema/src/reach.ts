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
  const shapes = new Map<string, string[]>();
  for (const [name, route] of Object.entries(routes)) {
    const keys = route.match.flatMap(shapesOf);
    shapes.set(name, keys);
    for (const key of keys) {
      const other = winners.get(key);
      if (other === undefined || comesFirst(name, other, routes)) winners.set(key, name);
    }
  }
  const problems: Problem[] = [];
  for (const [name, keys] of shapes) {
    const hiding = new Set(keys.map((key) => winners.get(key) ?? name));
    if (hiding.has(name)) continue;
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

/** One text for each host and method of an alternative: equal texts take exactly the same requests. */
function shapesOf(match: Match): string[] {
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
