import type { Resources, RouteResource } from "@headgate/schema";
import { nextTurn } from "../core/timers.ts";
import { compileRoute, Router } from "../proxy/router/router.ts";
import type { CompiledRoute } from "../proxy/router/router.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { newlyUnreachable, type HiddenAlternative } from "./newly-unreachable.ts";

/** Alternatives that are compiled in one turn: some ten microseconds each, so that nobody waits long for his. */
const alternativesPerSlice = 500;

/** A change as far as routing has to do with it. */
export type RoutesChange = Pick<SnapshotChange, "routes">;

/** The router of a document, for who needs it once. Takes a second for 100,000 routes. */
export function routerOf({ routes }: Pick<Resources, "routes">): Router<RouteResource> {
  const router = new Router<RouteResource>();
  for (const [name, route] of Object.entries(routes)) router.put(compiled(name, route));
  return router;
}

/**
 * The routes that are live in a router of the control thread: for explaining, and for trying out a change before it is
 * made. Built when it is first asked for, in slices; from then on each change costs what it changes. It holds about as
 * much memory as the router of a worker.
 */
export class Routing {
  readonly #resources: () => Pick<Resources, "routes">;
  #router = new Router<RouteResource>();
  /** The names that changed while the rest was being read. */
  #touched = new Set<string>();
  #building: Promise<void> | undefined;
  #ready = false;

  /** `resources`: what is live; read when the building begins, its records may change meanwhile. */
  constructor(resources: () => Pick<Resources, "routes">) {
    this.#resources = resources;
  }

  /** Resolves when it can be asked. Rejects where a route does not compile; the next call tries again. */
  ready(): Promise<void> {
    this.#building ??= this.#build().catch((error: unknown) => {
      this.#building = undefined;
      this.#router = new Router();
      this.#touched = new Set();
      throw error;
    });
    return this.#building;
  }

  /** The live routes. Throws before `ready` has resolved. */
  get router(): Router<RouteResource> {
    if (!this.#ready) throw new Error("the routing is asked before it is ready");
    return this.#router;
  }

  /** Follows a change that has become live. */
  update(change: RoutesChange): void {
    if (this.#building === undefined || change.routes === undefined) return;
    const { set, delete: gone } = change.routes;
    const routes = Object.entries(set).map(([name, route]) => compiled(name, route));
    for (const name of gone) this.#router.delete(name);
    for (const route of routes) this.#router.put(route);
    if (this.#ready) return;
    for (const name of gone) this.#touched.add(name);
    for (const { name } of routes) this.#touched.add(name);
  }

  /**
   * Runs `action` with the routes as they would be after a change, then takes the change back. Costs what the change
   * costs. Throws what `action` throws, and as `compileRoute` does.
   */
  whatIf<T>(change: RoutesChange, action: (router: Router<RouteResource>) => T): T {
    const { router } = this;
    const { set = {}, delete: gone = [] } = change.routes ?? {};
    const routes = Object.entries(set).map(([name, route]) => compiled(name, route));
    const before = new Map<string, CompiledRoute<RouteResource> | undefined>();
    for (const name of [...gone, ...routes.map((route) => route.name)]) before.set(name, router.get(name));
    try {
      for (const name of gone) router.delete(name);
      for (const route of routes) router.put(route);
      return action(router);
    } finally {
      for (const [name, route] of before) {
        if (route === undefined) router.delete(name);
        else router.put(route);
      }
    }
  }

  /**
   * The alternatives that no request would reach any more after a change. Looks at the routes that share host and path
   * with one that changes, not at the others.
   */
  newlyUnreachable(change: RoutesChange): HiddenAlternative[] {
    const { router } = this;
    const { set = {}, delete: gone = [] } = change.routes ?? {};
    const concerned = new Set<string>();
    for (const [name, route] of Object.entries(set)) {
      const known = router.get(name);
      if (known !== undefined) router.collectSharing(known, concerned);
      router.collectSharing(compiled(name, route), concerned);
    }
    const before = new Map<string, RouteResource>();
    for (const name of concerned) {
      const route = router.get(name)?.alternatives[0]?.value;
      if (route !== undefined) before.set(name, route);
    }
    const after = new Map(before);
    for (const name of gone) after.delete(name);
    for (const [name, route] of Object.entries(set)) after.set(name, route);
    return newlyUnreachable(before, after);
  }

  async #build(): Promise<void> {
    const { routes } = this.#resources();
    let work = 0;
    for (const name of Object.keys(routes)) {
      const route = routes[name];
      if (route === undefined || this.#touched.has(name)) continue;
      this.#router.put(compiled(name, route));
      work += route.match.length;
      if (work < alternativesPerSlice) continue;
      work = 0;
      await nextTurn();
    }
    this.#touched.clear();
    this.#ready = true;
  }
}

function compiled(name: string, route: RouteResource): CompiledRoute<RouteResource> {
  return compileRoute(name, route.match, route.priority, route);
}
