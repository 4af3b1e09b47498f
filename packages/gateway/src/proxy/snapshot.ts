import type {
  ChainEntry,
  ConsumerResource,
  MiddlewareResource,
  PluginResource,
  RouteResource,
  ServiceResource,
} from "@headgate/schema";
import type { GatewayError } from "../core/errors.ts";
import type { Chain } from "./compose.ts";
import type { ConsumerDirectory } from "./exchange.ts";
import type { MiddlewareDefinition } from "./middleware.ts";
import type { BuiltStep } from "./build-step.ts";
import { buildStep, disposeStep } from "./build-step.ts";
import { buildConsumerDirectory } from "./consumers.ts";
import type { StepContext } from "./build-step.ts";
import { Route } from "./route.ts";
import type { RouteContext } from "./route.ts";
import { Router, compileRoute } from "./router/router.ts";
import type { CompiledRoute } from "./router/router.ts";
import type { Instances, Service } from "./upstream/service.ts";

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
  readonly middlewares?: KindChange<MiddlewareResource>;
  readonly consumers?: KindChange<ConsumerResource>;
  readonly plugins?: KindChange<PluginResource>;
  readonly global?: readonly ChainEntry[];
}

/** A change that has been built in full and waits for its flip. */
export interface Prepared {
  readonly revision: number;
  /** Makes it live: synchronous, cannot fail. */
  readonly commit: () => void;
  /** It will not be published: what was built for it is disposed of. */
  readonly discard: () => void;
}

/** Exchanges that began between two flips; what the second flip retired is disposed of when the last has ended. */
export class Epoch {
  active = 0;
  retired: (() => void)[] = [];
  next: Epoch | undefined;
}

/**
 * The configuration as one thread runs it. A change is built beside what is live, and made live by assignments within
 * one turn of the event loop: no exchange sees half of it. Exchanges keep the chain and the services they began with.
 */
export class Live implements RouteContext {
  readonly router = new Router<Route>();
  revision = 0;
  /** Grows when anything a chain is linked from has changed; routes link themselves again on their next use. */
  generation = 0;
  globalSteps: readonly BuiltStep[] = [];
  consumers: ConsumerDirectory = buildConsumerDirectory({});
  readonly named = new Map<string, BuiltStep>();
  readonly services = new Map<string, { readonly service: Service; readonly steps: readonly BuiltStep[] }>();
  readonly #routes = new Map<string, Route>();
  readonly #resources = {
    consumers: new Map<string, ConsumerResource>(),
    middlewares: new Map<string, MiddlewareResource>(),
    services: new Map<string, ServiceResource>(),
    routes: new Map<string, RouteResource>(),
  };
  #global: readonly ChainEntry[] = [];
  #plugins = new Map<string, MiddlewareDefinition>();
  readonly #instances: Instances;
  readonly #steps: Omit<StepContext, "definitions">;
  readonly #builtIn: ReadonlyMap<string, MiddlewareDefinition>;
  readonly #loadPlugin: (resource: PluginResource) => Promise<MiddlewareDefinition>;
  #oldest = new Epoch();
  #newest = this.#oldest;

  constructor(
    instances: Instances,
    steps: Omit<StepContext, "definitions">,
    builtIn: ReadonlyMap<string, MiddlewareDefinition>,
    loadPlugin: (resource: PluginResource) => Promise<MiddlewareDefinition>,
  ) {
    this.#instances = instances;
    this.#steps = steps;
    this.#builtIn = builtIn;
    this.#loadPlugin = loadPlugin;
  }

  /** An exchange begins; the returned token goes back to `leave`. */
  enter(): Epoch {
    this.#newest.active++;
    return this.#newest;
  }

  leave(epoch: Epoch): void {
    epoch.active--;
    if (epoch.active === 0 && epoch !== this.#newest) this.#settle();
  }

  /**
   * Builds everything of a change that can fail. Throws an Error that names the resource; then nothing has changed.
   * One change at a time.
   */
  async prepare(change: SnapshotChange): Promise<Prepared> {
    const plugins = await this.#preparePlugins(change.plugins);
    const definitions = plugins.size === 0 ? this.#builtIn : new Map([...plugins, ...this.#builtIn]);
    const context: StepContext = { ...this.#steps, definitions };
    const built: BuiltStep[] = [];
    const build = (entry: ChainEntry, identity: string): BuiltStep => {
      const step = buildStep(entry, identity, context);
      built.push(step);
      return step;
    };
    const changedPlugins = new Set([...Object.keys(change.plugins?.set ?? {}), ...(change.plugins?.delete ?? [])]);
    try {
      const commits = [
        ...this.#prepareNamed(change, changedPlugins, build),
        ...this.#prepareGlobal(change, changedPlugins, build),
        ...this.#prepareServices(change, changedPlugins, build),
        ...this.#prepareRoutes(change, changedPlugins, build),
        ...this.#prepareConsumers(change),
      ];
      return {
        revision: change.revision,
        commit: () => {
          for (const commit of commits) commit();
          this.#plugins = plugins;
          this.revision = change.revision;
          // Routes alone are linked when they are new; the others keep their chains.
          if (change.global ?? change.middlewares ?? change.services ?? change.plugins) this.generation++;
          this.#turn();
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
    for (const step of steps) this.#newest.retired.push(() => disposeStep(step));
  }

  #turn(): void {
    const next = new Epoch();
    this.#newest.next = next;
    this.#newest = next;
    this.#settle();
  }

  #settle(): void {
    // In order: a later epoch's exchanges may still use what an earlier flip retired only if they began before it.
    while (this.#oldest !== this.#newest && this.#oldest.active === 0 && this.#oldest.next !== undefined) {
      for (const dispose of this.#oldest.retired) dispose();
      this.#oldest = this.#oldest.next;
    }
  }

  async #preparePlugins(change: KindChange<PluginResource> | undefined): Promise<Map<string, MiddlewareDefinition>> {
    if (change === undefined) return this.#plugins;
    const plugins = new Map(this.#plugins);
    for (const name of change.delete) plugins.delete(name);
    for (const [name, resource] of Object.entries(change.set)) {
      try {
        plugins.set(name, await this.#loadPlugin(resource));
      } catch (error) {
        throw new Error(`plugins.${name}: ${messageOf(error)}`, { cause: error });
      }
    }
    return plugins;
  }

  #prepareNamed(change: SnapshotChange, plugins: ReadonlySet<string>, build: Build): (() => void)[] {
    const entries = affected(this.#resources.middlewares, change.middlewares, ({ entry }) => plugins.has(entry.name));
    const commits = [...entries].map(([name, resource]) => {
      const step = build(resource.entry, `middlewares/${name}`);
      return () => {
        const before = this.named.get(name);
        if (before !== undefined) this.retire([before]);
        this.named.set(name, step);
        this.#resources.middlewares.set(name, resource);
      };
    });
    for (const name of change.middlewares?.delete ?? []) {
      commits.push(() => {
        const before = this.named.get(name);
        if (before !== undefined) this.retire([before]);
        this.named.delete(name);
        this.#resources.middlewares.delete(name);
      });
    }
    return commits;
  }

  #prepareGlobal(change: SnapshotChange, plugins: ReadonlySet<string>, build: Build): (() => void)[] {
    const entries = change.global ?? this.#global;
    if (change.global === undefined && !entries.some(({ name }) => plugins.has(name))) return [];
    const isNamed = this.#namedAfter(change);
    const steps = entries.map((entry, index) => refer(entry, isNamed) ?? build(entry, `global/${index}`));
    return [
      () => {
        this.retire(this.globalSteps);
        this.globalSteps = steps;
        this.#global = entries;
      },
    ];
  }

  #prepareServices(change: SnapshotChange, plugins: ReadonlySet<string>, build: Build): (() => void)[] {
    const isNamed = this.#namedAfter(change);
    const resources = affected(this.#resources.services, change.services, ({ use }) =>
      use.some(({ name }) => plugins.has(name)),
    );
    const commits = [...resources].map(([name, resource]) => {
      const { service, commit } = this.#instances.build(name, resource);
      const steps = resource.use.map(
        (entry, index) => refer(entry, isNamed) ?? build(entry, `services/${name}/use/${index}`),
      );
      return () => {
        this.retire(this.services.get(name)?.steps ?? []);
        commit();
        this.services.set(name, { service, steps });
        this.#resources.services.set(name, resource);
      };
    });
    for (const name of change.services?.delete ?? []) {
      commits.push(() => {
        this.retire(this.services.get(name)?.steps ?? []);
        this.#instances.drop(name);
        this.services.delete(name);
        this.#resources.services.delete(name);
      });
    }
    return commits;
  }

  #prepareRoutes(change: SnapshotChange, plugins: ReadonlySet<string>, build: Build): (() => void)[] {
    const isNamed = this.#namedAfter(change);
    // Only a changed plugin makes it look at every route; it is rare and the look is short.
    const resources =
      plugins.size === 0
        ? new Map(Object.entries(change.routes?.set ?? {}))
        : affected(this.#resources.routes, change.routes, ({ use }) => use.some(({ name }) => plugins.has(name)));
    const commits = [...resources].map(([name, resource]) => {
      const steps = resource.use.map(
        (entry, index) => refer(entry, isNamed) ?? build(entry, `routes/${name}/use/${index}`),
      );
      const route = new Route(name, resource, steps, this);
      let compiled: CompiledRoute<Route>;
      try {
        compiled = compileRoute(name, resource.match, resource.priority, route);
      } catch (error) {
        throw new Error(`routes.${name}.match: ${messageOf(error)}`, { cause: error });
      }
      return () => {
        this.retire(this.#routes.get(name)?.ownSteps ?? []);
        this.router.put(compiled);
        this.#routes.set(name, route);
        this.#resources.routes.set(name, resource);
      };
    });
    for (const name of change.routes?.delete ?? []) {
      commits.push(() => {
        this.retire(this.#routes.get(name)?.ownSteps ?? []);
        this.router.delete(name);
        this.#routes.delete(name);
        this.#resources.routes.delete(name);
      });
    }
    return commits;
  }

  #prepareConsumers(change: SnapshotChange): (() => void)[] {
    if (change.consumers === undefined) return [];
    const { consumers } = this.#resources;
    const after = new Map(consumers);
    for (const name of change.consumers.delete) after.delete(name);
    for (const [name, resource] of Object.entries(change.consumers.set)) after.set(name, resource);
    const directory = buildConsumerDirectory(Object.fromEntries(after));
    return [
      () => {
        this.consumers = directory;
        this.#resources.consumers = after;
      },
    ];
  }

  /** Whether a name will be a named configuration once the change is live. */
  #namedAfter(change: SnapshotChange): (name: string) => boolean {
    const set = change.middlewares?.set ?? {};
    const gone = new Set(change.middlewares?.delete ?? []);
    return (name) => Object.hasOwn(set, name) || (this.#resources.middlewares.has(name) && !gone.has(name));
  }
}

type Build = (entry: ChainEntry, identity: string) => BuiltStep;

/** A step that stands for a named configuration: resolved when the chain is linked, so that it follows its changes. */
function refer(entry: ChainEntry, isNamed: (name: string) => boolean): BuiltStep | undefined {
  if (entry.settings !== undefined || !isNamed(entry.name)) return undefined;
  return { refersTo: entry.name, when: entry.when };
}

/** The resources to build: those that changed, and the unchanged ones that `also` names. */
function affected<T>(
  known: ReadonlyMap<string, T>,
  change: KindChange<T> | undefined,
  also: (resource: T) => boolean,
): Map<string, T> {
  const found = new Map(Object.entries(change?.set ?? {}));
  const gone = new Set(change?.delete ?? []);
  for (const [name, resource] of known) {
    if (!found.has(name) && !gone.has(name) && also(resource)) found.set(name, resource);
  }
  return found;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
