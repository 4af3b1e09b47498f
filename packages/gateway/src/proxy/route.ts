import type { DeliverySettings, Destination, RespondSettings, RouteResource } from "@headgate/schema";
import type { ErrorCode } from "../core/errors.ts";
import { GatewayError } from "../core/errors.ts";
import type { BuiltStep } from "./build-step.ts";
import { whenOf } from "./build-step.ts";
import type { Chain, Step } from "./compose.ts";
import { compose } from "./compose.ts";
import type { Exchange } from "./exchange.ts";
import type { RouteSeries } from "./finish.ts";
import type { AttemptHook } from "./middleware.ts";
import type { Service } from "./upstream/service.ts";

/** What a route is linked from; the live configuration. */
export interface RouteContext {
  readonly generation: number;
  readonly globalSteps: readonly BuiltStep[];
  readonly named: ReadonlyMap<string, BuiltStep>;
  readonly services: ReadonlyMap<string, { readonly service: Service; readonly steps: readonly BuiltStep[] }>;
}

/** Sends an exchange to a service; the forward step. */
export type ForwardTo = (exchange: Exchange, service: Service, hooks: readonly AttemptHook[]) => Promise<void>;

/** Puts an exchange into the queue of a service; takes the place of the forward step where delivery is asynchronous. */
export type EnqueueFor = (exchange: Exchange, service: Service, delivery: DeliverySettings) => Promise<void>;

const noQueue: EnqueueFor = () => Promise.reject(new GatewayError("HG_OVERLOADED", { detail: "There is no queue." }));

/** A destination with its steps as one function. */
interface LinkedDestination {
  readonly weight: number;
  readonly run: Chain;
}

/** A route as a thread runs it. Linked to what it names on first use, and again after what it names has changed. */
export class Route {
  readonly name: string;
  readonly ownSteps: readonly BuiltStep[];
  readonly timeoutMs: number | undefined;
  /** Metric handles; made on first use, so that routes nobody asks for cost little. */
  series: RouteSeries;
  /** What it is built from. */
  readonly resource: RouteResource;
  readonly #context: RouteContext;
  #chain: Chain | undefined;
  #linkedAt = -1;

  constructor(name: string, resource: RouteResource, ownSteps: readonly BuiltStep[], context: RouteContext) {
    this.name = name;
    this.ownSteps = ownSteps;
    this.timeoutMs = resource.timeoutMs;
    this.resource = resource;
    this.#context = context;
  }

  /** Whether a step of that name runs on this route before anything of its service. */
  hasStep(name: string): boolean {
    const { named, globalSteps } = this.#context;
    return [...globalSteps, ...this.ownSteps].some((step) => {
      const target = "refersTo" in step ? named.get(step.refersTo) : step;
      return target !== undefined && "name" in target && target.name === name;
    });
  }

  /** `enqueue`: for a route with `delivery`; by default there is no queue. */
  chain(forward: ForwardTo, random: () => number, enqueue: EnqueueFor = noQueue): Chain {
    if (this.#chain === undefined || this.#linkedAt !== this.#context.generation) {
      this.#chain = this.#link(forward, random, enqueue);
      this.#linkedAt = this.#context.generation;
    }
    return this.#chain;
  }

  /** The global and own steps in front of `last`, in place of the route's own destination. */
  chainTo(last: Chain): Chain {
    const { globalSteps } = this.#context;
    return compose([...this.#resolve(globalSteps), ...this.#resolve(this.ownSteps)].map(toStep), last);
  }

  /**
   * A service as a message of this route is sent to it: without the chain, which the request passed before it was queued,
   * and with what its steps do at each attempt. `undefined`: the service is gone.
   */
  deliversTo(service: string): { readonly service: Service; readonly hooks: readonly AttemptHook[] } | undefined {
    const found = this.#context.services.get(service);
    if (found === undefined) return undefined;
    const { globalSteps } = this.#context;
    return { service: found.service, hooks: this.#hooks([...globalSteps, ...this.ownSteps, ...found.steps]) };
  }

  #lastStep(forward: ForwardTo, enqueue: EnqueueFor): ForwardTo {
    const { delivery } = this.resource;
    return delivery === undefined ? forward : (exchange, service) => enqueue(exchange, service, delivery);
  }

  #hooks(steps: readonly BuiltStep[]): AttemptHook[] {
    return this.#resolve(steps)
      .map((step) => step.attempt)
      .filter((hook) => hook !== undefined);
  }

  #link(forward: ForwardTo, random: () => number, enqueue: EnqueueFor): Chain {
    const { respond, to } = this.resource;
    if (respond !== undefined) return this.chainTo(answerWith(respond));
    const shared = [...this.#context.globalSteps, ...this.ownSteps];
    const last = this.#lastStep(forward, enqueue);
    const destinations = (to ?? []).map((destination) => this.#linkDestination(destination, shared, last));
    const pick = picker(destinations, random);
    return this.chainTo(this.#withFallback(pick, shared, forward));
  }

  #linkDestination(
    { service: name, weight }: Destination,
    shared: readonly BuiltStep[],
    forward: ForwardTo,
  ): LinkedDestination {
    const found = this.#context.services.get(name);
    if (found === undefined) return { weight, run: () => Promise.reject(new GatewayError("HG_NO_INSTANCE")) };
    const { service, steps } = found;
    const hooks = this.#hooks([...shared, ...steps]);
    const last: Chain = (exchange) => forward(exchange, service, hooks);
    return { weight, run: compose(this.#resolve(steps).map(toStep), last) };
  }

  /** The fallback takes over where no instance gave an answer; an instance's own error answer passes unchanged. */
  #withFallback(run: Chain, shared: readonly BuiltStep[], forward: ForwardTo): Chain {
    const { fallback } = this.resource;
    if (fallback === undefined) return run;
    const second: Chain =
      "respond" in fallback
        ? answerWith(fallback.respond)
        : this.#linkDestination({ service: fallback.service, weight: 1 }, shared, forward).run;
    return async (exchange) => {
      try {
        await run(exchange);
      } catch (error) {
        if (!(error instanceof GatewayError) || !needsFallback(error)) throw error;
        const body = exchange.carrier?.body;
        if (!("respond" in fallback) && body?.replayable === false) throw error;
        await second(exchange);
      }
    };
  }

  #resolve(steps: readonly BuiltStep[]): Exclude<BuiltStep, { refersTo: string }>[] {
    return steps.flatMap((step) => {
      if (!("refersTo" in step)) return [step];
      const target = this.#context.named.get(step.refersTo);
      if (target === undefined || "refersTo" in target) return [];
      if (step.when === undefined) return [target];
      const inner = target.when;
      const outer = whenOf(step.when);
      const when = inner === undefined ? outer : (exchange: Exchange) => outer(exchange) && inner(exchange);
      return [{ ...target, when }];
    });
  }
}

function toStep({ handle, when }: Exclude<BuiltStep, { refersTo: string }>): Step {
  return { handle, when };
}

/** A fixed answer; a body without a type is text. */
function answerWith({ status, headers, body }: RespondSettings): Chain {
  const typed = body === "" || Object.keys(headers).some((name) => name.toLowerCase() === "content-type");
  const answer = {
    status,
    headers: typed ? headers : { "content-type": "text/plain; charset=utf-8", ...headers },
    body,
  };
  return (exchange) => {
    exchange.respond(answer);
    return Promise.resolve();
  };
}

/** The gateway's own refusals in whose place the fallback answers. */
const takesOver: ReadonlySet<ErrorCode> = new Set(["HG_NO_INSTANCE", "HG_CIRCUIT_OPEN", "HG_OVERLOADED"]);

function needsFallback(error: GatewayError): boolean {
  return error.facts.source === "upstream" || takesOver.has(error.code);
}

/** Picks a destination at random in proportion to the weights. */
function picker(destinations: readonly LinkedDestination[], random: () => number): Chain {
  const [only] = destinations;
  if (only !== undefined && destinations.length === 1) return only.run;
  const total = destinations.reduce((sum, { weight }) => sum + weight, 0);
  return (exchange) => {
    let at = random() * total;
    for (const { weight, run } of destinations) {
      at -= weight;
      if (at < 0) return run(exchange);
    }
    return Promise.reject(new GatewayError("HG_NO_INSTANCE"));
  };
}
