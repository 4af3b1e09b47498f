import { GatewayError } from "../core/errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";
import { ExchangeRequest } from "./exchange.ts";
import type { Router } from "./router/router.ts";

/** What the match step found: the route, or why there is none. */
export type Matched = { readonly route: Route } | { readonly route: Route | undefined; readonly error: GatewayError };

/** Finds the route of an exchange and notes what it matched. */
export function matchRoute(router: Router<Route>, exchange: Exchange): Matched {
  const { request, client } = exchange;
  const found = router.find(request, client);
  if (found !== undefined) {
    exchange.routeName = found.name;
    exchange.match = found.match;
    return { route: found.value };
  }
  const allowed = router.allowedMethods(request, client);
  if (allowed.length === 0) return { route: undefined, error: new GatewayError("HG_ROUTE_NOT_FOUND") };
  const error = new GatewayError("HG_METHOD_NOT_ALLOWED", { headers: { allow: allowed.join(", ") } });
  return { route: preflightRoute(router, exchange), error };
}

/**
 * A CORS preflight asks for a route that lists its methods, and OPTIONS is rarely one of them. If the route that takes
 * the announced method has a `cors` step, its chain runs, and that step answers.
 */
function preflightRoute(router: Router<Route>, exchange: Exchange): Route | undefined {
  const { request, client } = exchange;
  if (request.method !== "OPTIONS" || !request.headers.has("origin")) return undefined;
  const method = request.headers.get("access-control-request-method");
  if (method === undefined) return undefined;
  const announced = new ExchangeRequest({ ...request, method, headers: request.headers });
  const found = router.find(announced, client);
  if (found === undefined || !found.value.hasStep("cors")) return undefined;
  exchange.routeName = found.name;
  exchange.match = found.match;
  return found.value;
}
