import type { ChainEntry, Match } from "@headgate/schema";
import type { Exchange } from "./exchange.ts";
import type { AttemptHook, Kit, Middleware, MiddlewareDefinition } from "./middleware.ts";
import { compileMatch } from "./router/conditions.ts";

/** One step of a chain: built in place, or a reference to a named configuration. */
export type BuiltStep =
  | {
      readonly handle: Middleware;
      readonly attempt?: AttemptHook | undefined;
      readonly dispose?: (() => void) | undefined;
      readonly when?: ((exchange: Exchange) => boolean) | undefined;
      /** The middleware's name. */
      readonly name: string;
    }
  | { readonly refersTo: string; readonly when?: Match | undefined };

/** What building a step takes. */
export interface StepContext {
  readonly definitions: ReadonlyMap<string, MiddlewareDefinition>;
  readonly kit: (identity: string) => Kit;
}

/** Builds a step from its entry. Throws an Error that names the place and what is wrong. Runs once per change. */
export function buildStep(entry: ChainEntry, identity: string, { definitions, kit }: StepContext): BuiltStep {
  const place = identity.replaceAll("/", ".");
  const definition = definitions.get(entry.name);
  if (definition === undefined) throw new Error(`${place}: there is no middleware "${entry.name}"`);
  const settings = definition.config.safeParse(entry.settings ?? {});
  if (!settings.success) {
    const [issue] = settings.error.issues;
    throw new Error(`${place}: ${[entry.name, ...(issue?.path ?? [])].join(".")}: ${issue?.message ?? "not valid"}`);
  }
  let built;
  try {
    built = definition.build(settings.data, kit(identity));
  } catch (error) {
    throw new Error(`${place}: ${entry.name}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const parts = typeof built === "function" ? { handle: built } : built;
  // It runs long after, in the middle of a flip or of an exchange's end, which it must not break.
  const guarded = (): void => {
    try {
      parts.dispose?.();
    } catch (error) {
      kit(identity).log.error({ err: error, step: identity }, "A middleware's dispose failed.");
    }
  };
  const dispose = parts.dispose === undefined ? undefined : guarded;
  return { ...parts, dispose, name: entry.name, when: entry.when === undefined ? undefined : whenOf(entry.when) };
}

/** Most steps hold nothing; nobody keeps count of who uses them. */
export function needsDisposal(step: BuiltStep): boolean {
  return "handle" in step && step.dispose !== undefined;
}

export function disposeStep(step: BuiltStep): void {
  if ("handle" in step) step.dispose?.();
}

/** A `when` as a predicate of the exchange. */
export function whenOf(match: Match): (exchange: Exchange) => boolean {
  const matches = compileMatch(match);
  return (exchange) => matches(exchange.request, exchange.client);
}
