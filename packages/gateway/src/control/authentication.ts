import type { ChainEntry, MiddlewareResource, Resources, RouteResource, ServiceResource } from "@headgate/schema";
import type { Client, ExchangeRequest } from "../proxy/exchange.ts";
import type { MiddlewareDefinition } from "../proxy/middleware.ts";
import { compileMatch } from "../proxy/router/conditions.ts";
import type { KindChange, SnapshotChange } from "../proxy/snapshot.ts";

/** What of a middleware or plugin says whether it authenticates. */
export type Authenticator = Partial<Pick<MiddlewareDefinition, "authenticates" | "config">>;

/** A middleware or plugin by its name; undefined where there is none. */
export type FindAuthenticator = (name: string) => Authenticator | undefined;

/** What chains are made of: the resources that are live, or as they would be after a change. */
export interface ChainParts {
  readonly global: readonly ChainEntry[];
  service(name: string): ServiceResource | undefined;
  middleware(name: string): MiddlewareResource | undefined;
}

type Parts = Pick<Resources, "global" | "services" | "middlewares">;

export function chainParts({ global, services, middlewares }: Parts): ChainParts {
  return {
    global,
    service: (name) => ownOf(services, name),
    middleware: (name) => ownOf(middlewares, name),
  };
}

/** The same after a change; costs what the change costs. */
export function chainPartsAfter(parts: ChainParts, change: Omit<SnapshotChange, "revision">): ChainParts {
  return {
    global: change.global ?? parts.global,
    service: changed(change.services, (name) => parts.service(name)),
    middleware: changed(change.middlewares, (name) => parts.middleware(name)),
  };
}

function changed<T>(
  change: KindChange<T> | undefined,
  before: (name: string) => T | undefined,
): (name: string) => T | undefined {
  if (change === undefined) return before;
  const gone = new Set(change.delete);
  return (name) => ownOf(change.set, name) ?? (gone.has(name) ? undefined : before(name));
}

function ownOf<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

type Test = (request: ExchangeRequest, client: Client) => boolean;

/**
 * Whether the chain of a route asks who a request comes from: a step of the global chain, of the route, or of every
 * service that may take the request, whose `when` holds for it. What is found out about a route is kept for the next
 * request.
 */
export class Authentication {
  readonly #parts: ChainParts;
  readonly #find: FindAuthenticator;
  readonly #routes = new Map<RouteResource, Test>();
  // One named step may stand in every route; its settings are read once.
  readonly #steps = new Map<ChainEntry, boolean>();

  constructor(parts: ChainParts, find: FindAuthenticator) {
    this.#parts = parts;
    this.#find = find;
  }

  of(route: RouteResource, request: ExchangeRequest, client: Client): boolean {
    let test = this.#routes.get(route);
    if (test === undefined) this.#routes.set(route, (test = this.#read(route)));
    return test(request, client);
  }

  #read({ use, to = [] }: RouteResource): Test {
    const shared = [...this.#parts.global, ...use].flatMap((entry) => this.#testsOf(entry));
    const services = to
      .filter(({ weight }) => weight > 0)
      .map(({ service }) => (this.#parts.service(service)?.use ?? []).flatMap((entry) => this.#testsOf(entry)));
    return (request, client) => {
      const runs = (test: Test): boolean => test(request, client);
      return shared.some(runs) || (services.length > 0 && services.every((tests) => tests.some(runs)));
    };
  }

  /** Nothing for a step that does not authenticate, else when it runs. */
  #testsOf(entry: ChainEntry): Test[] {
    const named = entry.settings === undefined ? this.#parts.middleware(entry.name)?.entry : undefined;
    const step = named ?? entry;
    let asks = this.#steps.get(step);
    if (asks === undefined) this.#steps.set(step, (asks = authenticates(this.#find(step.name), step.settings)));
    if (!asks) return [];
    const conditions = [entry.when, named?.when].filter((when) => when !== undefined).map(compileMatch);
    return [(request, client) => conditions.every((holds) => holds(request, client))];
  }
}

function authenticates(definition: Authenticator | undefined, settings: unknown): boolean {
  const says = definition?.authenticates;
  if (typeof says !== "function") return says ?? false;
  const parsed = definition?.config?.safeParse(settings ?? {});
  return parsed?.success === true && says(parsed.data);
}
