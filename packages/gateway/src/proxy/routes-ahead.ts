import type { RouteResource } from "@headgate/schema";
import { Route, type RouteContext } from "./route.ts";
import { compileRoute, Router, type CompiledRoute } from "./router/router.ts";

/** A route without steps of its own, with its name. */
export type AheadRoute = readonly [name: string, resource: RouteResource];

/** What was made ready of a change. */
export interface ReadyRoutes {
  readonly routes: readonly CompiledRoute<Route>[];
  /** What does not compile; built with the change, where the failure is told. */
  readonly unbuilt: readonly AheadRoute[];
  /** All of `routes` and nothing else; where nothing was served when they came. It may be changed. */
  readonly router: Router<Route> | undefined;
  /** Whether a route is one of these. */
  has(name: string): boolean;
}

const nothingReady: ReadyRoutes = { routes: [], unbuilt: [], router: undefined, has: () => false };

/**
 * Routes that the next change will probably set, made ready while the control thread still reads the rest: with 100,000
 * of them a worker takes as long as that, and they do it at the same time. Nothing of it is live until the change says
 * which of them belong to it. Holds no more than that change.
 */
export class RoutesAhead {
  readonly #live: RouteContext & { readonly router: Router<Route> };
  readonly #routes = new Map<string, CompiledRoute<Route>>();
  readonly #unbuilt = new Map<string, RouteResource>();
  #router: Router<Route> | undefined;

  constructor(live: RouteContext & { readonly router: Router<Route> }) {
    this.#live = live;
  }

  /** Builds some. One that was told before is replaced. */
  add(routes: readonly AheadRoute[]): void {
    // Beside routes that are served a router is made when it is known what goes.
    if (this.#routes.size === 0 && this.#live.router.size === 0) this.#router = new Router();
    for (const [name, resource] of routes) {
      try {
        const { match, priority } = resource;
        const route = compileRoute(name, match, priority, new Route(name, resource, noSteps, this.#live));
        this.#routes.set(name, route);
        this.#router?.put(route);
        this.#unbuilt.delete(name);
      } catch {
        this.#routes.delete(name);
        this.#router?.delete(name);
        this.#unbuilt.set(name, resource);
      }
    }
  }

  /** What belongs to a change: all but these. `undefined`: nothing. All stays for another try, the router excepted. */
  take(but: readonly string[] | undefined): ReadyRoutes {
    if (but === undefined) return nothingReady;
    const without = new Set(but);
    const router = this.#live.router.size === 0 ? this.#router : undefined;
    this.#router = undefined;
    for (const name of but) router?.delete(name);
    const routes = [...this.#routes.values()];
    return {
      routes: but.length === 0 ? routes : routes.filter(({ name }) => !without.has(name)),
      unbuilt: [...this.#unbuilt].filter(([name]) => !without.has(name)),
      router,
      has: (name) => !without.has(name) && (this.#routes.has(name) || this.#unbuilt.has(name)),
    };
  }

  /** The change was made, or will not be. */
  clear(): void {
    this.#routes.clear();
    this.#unbuilt.clear();
    this.#router = undefined;
  }
}

const noSteps: Route["ownSteps"] = [];
