import { requestShapes } from "@headgate/schema";
import type { RouteResource } from "@headgate/schema";

/** An alternative of a route whose requests all go to other routes. */
export interface HiddenAlternative {
  readonly route: string;
  /** Index in the route's `match`. */
  readonly alternative: number;
  /** A route that takes its requests. */
  readonly by: string;
}

/** Routes by name, as far as they matter. */
export type RoutesByName = ReadonlyMap<string, RouteResource>;

/**
 * The alternatives that no request reaches with the routes `after` and that some request reached with those of
 * `before`, or that were not there. Judged as `check` judges: another route takes exactly the same requests and comes
 * first. `after` need hold, of the routes that did not change, only those that share host and path with one that did.
 * Pure.
 */
export function newlyUnreachable(before: RoutesByName, after: RoutesByName): HiddenAlternative[] {
  const formerly = winnersOf(before);
  const winners = winnersOf(after);
  const found: HiddenAlternative[] = [];
  for (const [name, route] of after) {
    for (const [alternative, match] of route.match.entries()) {
      const shapes = requestShapes(match);
      if (shapes.some((shape) => winners.get(shape) === name)) continue;
      const [by] = shapes.map((shape) => winners.get(shape));
      const known = before.get(name)?.match[alternative];
      const hidden = known !== undefined && !requestShapes(known).some((shape) => formerly.get(shape) === name);
      if (by !== undefined && !hidden) found.push({ route: name, alternative, by });
    }
  }
  return found;
}

function winnersOf(routes: RoutesByName): Map<string, string> {
  const winners = new Map<string, string>();
  for (const [name, route] of routes) {
    for (const match of route.match) {
      for (const shape of requestShapes(match)) {
        const other = winners.get(shape);
        if (other === undefined || comesFirst(name, route, other, routes.get(other))) winners.set(shape, name);
      }
    }
  }
  return winners;
}

function comesFirst(name: string, route: RouteResource, other: string, second: RouteResource | undefined): boolean {
  const difference = route.priority - (second?.priority ?? 0);
  return difference === 0 ? name < other : difference > 0;
}
