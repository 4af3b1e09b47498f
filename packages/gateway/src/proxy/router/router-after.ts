import { nextTurn } from "../../core/timers.ts";
import { Router, type CompiledRoute } from "./router.ts";

/** Placing a route takes some microseconds. */
const routesPerSlice = 500;

/**
 * A router with the routes of another one after a change, made beside it and in slices, between which other work has
 * its turn: for changes of so many routes that making them in place would hold up the thread. The other one must not
 * change meanwhile.
 */
export async function routerAfter<T>(
  before: Router<T>,
  set: readonly CompiledRoute<T>[],
  gone: readonly string[],
): Promise<Router<T>> {
  const after = new Router<T>();
  const changed = new Set(gone);
  for (const { name } of set) changed.add(name);
  let count = 0;
  for (const route of before.all()) {
    if (changed.has(route.name)) continue;
    after.put(route);
    if (++count % routesPerSlice === 0) await nextTurn();
  }
  return withRoutes(after, set);
}

/** Puts routes into a router that nobody uses yet, in slices; answers the router. */
export async function withRoutes<T>(router: Router<T>, routes: readonly CompiledRoute<T>[]): Promise<Router<T>> {
  let count = 0;
  for (const route of routes) {
    router.put(route);
    if (++count % routesPerSlice === 0) await nextTurn();
  }
  return router;
}
