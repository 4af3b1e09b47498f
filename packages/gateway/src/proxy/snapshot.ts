import type {
  ChainEntry,
  ConsumerResource,
  MiddlewareResource,
  PluginResource,
  RouteResource,
  ServiceResource,
} from "@headgate/schema";
import type { GatewayError } from "../core/errors.ts";
import { nextTurn } from "../core/timers.ts";
import type { Chain } from "./compose.ts";
import type { MiddlewareDefinition } from "./middleware.ts";
import { affected } from "./affected.ts";
import { attempt, blamed, pluginOf, SnapshotError, type BuildFailure } from "./build-failure.ts";
import type { BuiltStep } from "./build-step.ts";
import { buildStep, disposeStep, needsDisposal } from "./build-step.ts";
import { noConsumers, type Consumers } from "./consumers.ts";
import { Epochs } from "./epochs.ts";
import type { Epoch } from "./epochs.ts";
import { LookedAt } from "./looked-at.ts";
import type { Looking } from "./looked-at.ts";
import type { StepContext } from "./build-step.ts";
import { Route } from "./route.ts";
import type { RouteContext } from "./route.ts";
import { Router, compileRoute } from "./router/router.ts";
import type { CompiledRoute } from "./router/router.ts";
import { routerAfter, withRoutes } from "./router/router-after.ts";
import { RoutesAhead } from "./routes-ahead.ts";
import { StepUsers } from "./step-users.ts";
import type { ServiceMemory } from "./upstream/memory.ts";
import type { Instances } from "./upstream/instances.ts";
import type { Service } from "./upstream/service.ts";

/** What changes of one kind of resource. */
export interface KindChange<T> {
  readonly set: Readonly<Record<string, T>>;
  readonly delete: readonly string[];
}

/** The way from one revision to the next; plain data that crosses threads. Absent kinds stay as they are. */
export interface SnapshotChange {
  readonly revision: number;
  readonly routes?: KindChange<RouteResource>;
  readonly services?: KindChange<ServiceResource>;
  /** Of the services that are set. One without, as in a rehearsal, gets some of its own. */
  readonly memories?: Readonly<Record<string, ServiceMemory>>;
  readonly middlewares?: KindChange<MiddlewareResource>;
  readonly consumers?: KindChange<ConsumerResource>;
  readonly plugins?: KindChange<PluginResource>;
  readonly global?: readonly ChainEntry[];
  /** Routes that were told ahead belong to it, beside those of `routes`: all but these. Absent: none does. */
  readonly aheadBut?: readonly string[];
}

/** A change that has been built in full and waits for its flip. */
export interface Prepared {
  readonly revision: number;
  /** Makes it live: synchronous, cannot fail. */
  readonly commit: () => void;
  /** It will not be published: what was built for it is disposed of. */
  readonly discard: () => void;
}

/**
 * The configuration as one thread runs it. A change is built beside what is live, and made live by assignments within
 * one turn of the event loop: no exchange sees half of it. Exchanges keep the chain and the services they began with.
 */
export class Live implements RouteContext {
  router = new Router<Route>();
  revision = 0;
  /** Grows when anything a chain is linked from has changed; routes link themselves again on their next use. */
  generation = 0;
  globalSteps: readonly BuiltStep[] = [];
  consumers: Consumers = noConsumers;
  /** What conditions look at, kept for what is remembered of requests. */
  readonly lookedAt = new LookedAt();
  readonly named = new Map<string, BuiltStep>();
  readonly services = new Map<string, { readonly service: Service; readonly steps: readonly BuiltStep[] }>();
  /** What is made ready before the change that it belongs to is known. */
  readonly ahead = new RoutesAhead(this);
  readonly #resources = {
    middlewares: new Map<string, MiddlewareResource>(),
    services: new Map<string, ServiceResource>(),
  };
  #global: readonly ChainEntry[] = [];
  #plugins = new Map<string, MiddlewareDefinition>();
  readonly #instances: Instances;
  readonly #steps: Omit<StepContext, "definitions">;
  readonly #builtIn: ReadonlyMap<string, MiddlewareDefinition>;
  readonly #loadPlugin: (resource: PluginResource) => Promise<MiddlewareDefinition>;
  readonly #epochs = new Epochs();
  /** Who uses what plugin. */
  readonly #users: { readonly [K in "middlewares" | "services" | "routes"]: StepUsers };

  constructor(
    instances: Instances,
    steps: Omit<StepContext, "definitions">,
    builtIn: ReadonlyMap<string, MiddlewareDefinition>,
    loadPlugin: (resource: PluginResource) => Promise<MiddlewareDefinition>,
  ) {
    this.#instances = instances;
    this.#steps = steps;
    this.#builtIn = builtIn;
    this.#users = {
      middlewares: new StepUsers(builtIn),
      services: new StepUsers(builtIn),
      routes: new StepUsers(builtIn),
    };
    this.#loadPlugin = loadPlugin;
  }

  /** An exchange begins; the returned token goes back to `leave`. */
  enter(): Epoch {
    return this.#epochs.enter();
  }

  leave(epoch: Epoch): void {
    this.#epochs.leave(epoch);
  }

  /**
   * Builds everything of a change that can fail. Throws a SnapshotError that names every resource that cannot be built;
   * then nothing has changed. One change at a time. A large one is built in slices, between which exchanges go on.
   */
  async prepare(change: SnapshotChange): Promise<Prepared> {
    const failures: BuildFailure[] = [];
    const plugins = await this.#preparePlugins(change.plugins, failures);
    const definitions = plugins.size === 0 ? this.#builtIn : new Map([...plugins, ...this.#builtIn]);
    const context: StepContext = { ...this.#steps, definitions };
    const built: BuiltStep[] = [];
    const build = (entry: ChainEntry, identity: string): BuiltStep => {
      const step = buildStep(entry, identity, context);
      built.push(step);
      return step;
    };
    const changedPlugins = new Set([...Object.keys(change.plugins?.set ?? {}), ...(change.plugins?.delete ?? [])]);
    const work: Work = { change, plugins: changedPlugins, build, isNamed: this.#namedAfter(change), failures };
    try {
      const commits = [
        ...this.#prepareNamed(work),
        ...this.#prepareGlobal(work),
        ...this.#prepareServices(work),
        await this.#prepareRoutes(work),
        ...this.#prepareConsumers(change),
      ];
      if (failures.length > 0) throw new SnapshotError(failures);
      return {
        revision: change.revision,
        commit: () => {
          for (const step of built) if (needsDisposal(step)) this.#epochs.add(step);
          for (const commit of commits) commit();
          this.#plugins = plugins;
          this.revision = change.revision;
          // Routes alone are linked when they are new; the others keep their chains.
          if (change.global ?? change.middlewares ?? change.services ?? change.plugins) this.generation++;
          this.#epochs.turn();
        },
        discard: () => {
          for (const step of built) disposeStep(step);
        },
      };
    } catch (error) {
      for (const step of built) disposeStep(step);
      throw error;
    }
  }

  /** The global chain as it runs in front of an error: what happens where no route matched. */
  unmatchedChain(): (error: GatewayError) => Chain {
    const nowhere = new Route("", { match: [], use: [], priority: 0 }, [], this);
    return (error) => nowhere.chainTo(() => Promise.reject(error));
  }

  /** What nobody will use once the exchanges that are under way have ended. */
  retire(steps: readonly BuiltStep[]): void {
    for (const step of steps) if (needsDisposal(step)) this.#epochs.retire(step, () => disposeStep(step));
  }

  async #preparePlugins(
    change: KindChange<PluginResource> | undefined,
    failures: BuildFailure[],
  ): Promise<Map<string, MiddlewareDefinition>> {
    if (change === undefined) return this.#plugins;
    const plugins = new Map(this.#plugins);
    for (const name of change.delete) plugins.delete(name);
    for (const [name, resource] of Object.entries(change.set)) {
      try {
        plugins.set(name, await this.#loadPlugin(resource));
      } catch (error) {
        failures.push({ kind: "plugins", name, message: `plugins.${name}: ${messageOf(error)}` });
      }
    }
    return plugins;
  }

  #prepareNamed({ change, plugins, build, failures }: Work): (() => void)[] {
    const { middlewares } = this.#resources;
    const entries = [
      ...affected(change.middlewares, this.#users.middlewares.of(plugins), (name) => middlewares.get(name)),
    ];
    const commits = entries.flatMap(([name, resource]) => {
      const blame = blamed("middlewares", name, change.middlewares?.set, plugins, [resource.entry]);
      return attempt(failures, blame, () => {
        const step = build(resource.entry, `middlewares/${name}`);
        return () => {
          const before = this.named.get(name);
          if (before !== undefined) this.retire([before]);
          this.named.set(name, step);
          this.#noteNamed(name, resource);
        };
      });
    });
    for (const name of change.middlewares?.delete ?? []) {
      commits.push(() => {
        const before = this.named.get(name);
        if (before !== undefined) this.retire([before]);
        this.named.delete(name);
        this.#noteNamed(name, undefined);
      });
    }
    return commits;
  }

  #noteNamed(name: string, next: MiddlewareResource | undefined): void {
    const before = looking(this.#resources.middlewares.get(name));
    const after = looking(next);
    this.lookedAt.replace(before, after);
    this.#users.middlewares.replace(name, before?.use ?? [], after?.use ?? []);
    if (next === undefined) this.#resources.middlewares.delete(name);
    else this.#resources.middlewares.set(name, next);
  }

  #prepareGlobal({ change, plugins, build, isNamed, failures }: Work): (() => void)[] {
    const entries = change.global ?? this.#global;
    if (change.global === undefined && !entries.some(({ name }) => plugins.has(name))) return [];
    const blame = change.global === undefined ? pluginOf(plugins, entries) : ({ kind: "global", name: "" } as const);
    return attempt(failures, blame, () => {
      const steps = entries.map((entry, index) => refer(entry, isNamed) ?? build(entry, `global/${index}`));
      return () => {
        this.retire(this.globalSteps);
        this.globalSteps = steps;
        this.lookedAt.replace({ use: this.#global }, { use: entries });
        this.#global = entries;
      };
    });
  }

  #prepareServices({ change, plugins, build, isNamed, failures }: Work): (() => void)[] {
    const { services } = this.#resources;
    const resources = [...affected(change.services, this.#users.services.of(plugins), (name) => services.get(name))];
    const commits = resources.flatMap(([name, resource]) =>
      attempt(failures, blamed("services", name, change.services?.set, plugins, resource.use), () => {
        const { service, commit } = this.#instances.build(name, resource, change.memories?.[name]);
        const steps = resource.use.map(
          (entry, index) => refer(entry, isNamed) ?? build(entry, `services/${name}/use/${index}`),
        );
        return () => {
          this.retire(this.services.get(name)?.steps ?? []);
          commit();
          this.services.set(name, { service, steps });
          this.#noteService(name, resource);
        };
      }),
    );
    for (const name of change.services?.delete ?? []) {
      commits.push(() => {
        this.retire(this.services.get(name)?.steps ?? []);
        this.#instances.drop(name);
        this.services.delete(name);
        this.#noteService(name, undefined);
      });
    }
    return commits;
  }

  #noteService(name: string, next: ServiceResource | undefined): void {
    const before = this.#resources.services.get(name);
    this.lookedAt.replace(before, next);
    this.#users.services.replace(name, before?.use ?? [], next?.use ?? []);
    if (next === undefined) this.#resources.services.delete(name);
    else this.#resources.services.set(name, next);
  }

  async #prepareRoutes(work: Work): Promise<() => void> {
    const { change, plugins, failures } = work;
    const gone = change.routes?.delete ?? [];
    const users = this.#users.routes.of(plugins);
    const ready = this.ahead.take(change.aheadBut);
    const built: CompiledRoute<Route>[] = [];
    const build = (name: string, resource: RouteResource, blame: () => Pick<BuildFailure, "kind" | "name">): void => {
      try {
        built.push(this.#buildRoute(name, resource, work));
      } catch (error) {
        failures.push({ ...blame(), message: messageOf(error) });
      }
    };
    for (const [name, resource] of ready.unbuilt) build(name, resource, () => ({ kind: "routes", name }));
    const known = (name: string) => (ready.has(name) ? undefined : this.router.get(name)?.value.resource);
    let tried = 0;
    for (const [name, resource] of affected(change.routes, users, known)) {
      build(name, resource, () => blamed("routes", name, change.routes?.set, plugins, resource.use));
      if (++tried % routesPerSlice === 0) await nextTurn();
    }
    const set = [...ready.routes, ...built];
    const many = failures.length === 0 && set.length + gone.length > routesInPlaceMax;
    // The routes that were ready are in a router of their own already, unless others are served.
    const router = !many
      ? undefined
      : ready.router !== undefined
        ? await withRoutes(ready.router, built)
        : await routerAfter(this.router, set, gone);
    return () => {
      for (const name of gone) this.#release(name, undefined);
      for (const { name, value } of set) this.#release(name, value);
      if (router !== undefined) this.router = router;
      else {
        for (const name of gone) this.router.delete(name);
        for (const route of set) this.router.put(route);
      }
    };
  }

  /** What only the route before needed, if there is one, waits for its last exchange. */
  #release(name: string, next: Route | undefined): void {
    const before = this.router.get(name)?.value;
    if (before !== undefined) this.retire(before.ownSteps);
    this.lookedAt.replace(before?.resource, next?.resource);
    this.#users.routes.replace(name, before?.resource.use ?? [], next?.resource.use ?? []);
  }

  #buildRoute(name: string, resource: RouteResource, { build, isNamed }: Work): CompiledRoute<Route> {
    const { use } = resource;
    const steps =
      use.length === 0
        ? noSteps
        : use.map((entry, index) => refer(entry, isNamed) ?? build(entry, `routes/${name}/use/${index}`));
    const route = new Route(name, resource, steps, this);
    try {
      return compileRoute(name, resource.match, resource.priority, route);
    } catch (error) {
      throw new Error(`routes.${name}.match: ${messageOf(error)}`, { cause: error });
    }
  }

  #prepareConsumers(change: SnapshotChange): (() => void)[] {
    if (change.consumers === undefined) return [];
    const after = this.consumers.after(change.consumers);
    return [() => void (this.consumers = after)];
  }

  /** Whether a name will be a named configuration once the change is live. */
  #namedAfter(change: SnapshotChange): (name: string) => boolean {
    const set = change.middlewares?.set ?? {};
    const gone = new Set(change.middlewares?.delete ?? []);
    return (name) => Object.hasOwn(set, name) || (this.#resources.middlewares.has(name) && !gone.has(name));
  }
}

/** Of most routes; with 100,000 of them the shared list is memory. */
const noSteps: readonly BuiltStep[] = [];
/** Building a route takes some ten microseconds: a slice stays well below what a client would notice. */
const routesPerSlice = 200;
/** Placing a route in the router takes some microseconds, too; more of them get a new router. */
const routesInPlaceMax = 1_000;

/** What the parts of one preparation share. */
interface Work {
  readonly change: SnapshotChange;
  /** Those that change. */
  readonly plugins: ReadonlySet<string>;
  readonly build: (entry: ChainEntry, identity: string) => BuiltStep;
  /** Whether a name will be a named configuration once the change is live. */
  readonly isNamed: (name: string) => boolean;
  readonly failures: BuildFailure[];
}

function looking(named: MiddlewareResource | undefined): Looking | undefined {
  return named === undefined ? undefined : { use: [named.entry] };
}

/** A step that stands for a named configuration: resolved when the chain is linked, so that it follows its changes. */
function refer(entry: ChainEntry, isNamed: (name: string) => boolean): BuiltStep | undefined {
  if (entry.settings !== undefined || !isNamed(entry.name)) return undefined;
  return { refersTo: entry.name, when: entry.when };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
