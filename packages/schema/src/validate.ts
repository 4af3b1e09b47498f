import type { z } from "zod";
import { checkConsumers, checkGateway, checkRoute, checkService, checkChain } from "./checks.ts";
import {
  consumerSchema,
  chainEntrySchema,
  documentSchema,
  gatewaySchema,
  pluginSchema,
  routeSchema,
  serviceSchema,
} from "./document.ts";
import { nameProblem } from "./leaves.ts";
import { toChainEntry, toConsumer, toGateway, toPlugin, toRoute } from "./normalize.ts";
import { toService } from "./normalize-service.ts";
import { plainRoute } from "./plain-route.ts";
import { parseWith, typeOf, unknownKey } from "./problems.ts";
import type { Path, Problem } from "./problems.ts";
import { unreachableRoutes } from "./reach.ts";
import type { ChainEntry, GatewaySettings, MiddlewareResource, ResourceKind, Resources } from "./resources.ts";
import { salvage } from "./salvage.ts";
import { didYouMean } from "./suggest.ts";
import { takeUnavailable, unavailableProblem } from "./unavailable.ts";

export interface ValidatedDocument {
  /** Absent if any problem is an error. */
  readonly value?: { readonly gateway: GatewaySettings; readonly resources: Resources };
  /**
   * The resources as far as they could be read, those with problems without the parts that are wrong: for checks of
   * the whole, which should not wait until the last misspelt key is corrected. Never to be served. Absent where a
   * section that others refer to could not be read: all it holds would seem to be missing.
   */
  readonly readable?: Resources;
  readonly problems: readonly Problem[];
}

/** What was found of one resource under its path. */
interface Known {
  readonly kind: string;
  readonly name: string;
  readonly problems: readonly Problem[];
  readonly validated: Validated<unknown>;
}

/** What was found of resources that were validated, by the object as it was written. */
export type ValidationCache = WeakMap<object, Known>;

/** An empty cache, for who validates documents of which most parts are the same objects as before, and never changed. */
export function validationCache(): ValidationCache {
  return new WeakMap();
}

/**
 * Validates a whole document: every problem, not the first. References between resources and the settings of
 * middlewares are not its business. Absent and empty sections are the same. Never throws. With a `cache`, resources
 * that were validated before are not validated again, and their values are the same objects as then.
 */
export function validateDocument(input: unknown, cache?: ValidationCache): ValidatedDocument {
  const problems: Problem[] = [];
  const document = input === null || input === undefined ? {} : input;
  if (!isMap(document)) {
    const message = `expected a map of sections, got ${typeOf(document)}`;
    return { problems: [{ path: [], message, severity: "error" }] };
  }
  const sections = Object.keys(documentSchema.shape);
  for (const [key, value] of Object.entries(document)) {
    if (sections.includes(key)) continue;
    problems.push(unavailableProblem([key], value) ?? unknownKey([key], key, sections));
  }
  const { value: gateway } = validateOne(
    gatewaySchema,
    document["gateway"] ?? {},
    ["gateway"],
    checkGateway,
    toGateway,
    problems,
  );
  const run: Run = { document, cache, problems };
  const routes = validateKind(run, "routes", kinds.routes);
  const consumers = validateKind(run, "consumers", kinds.consumers);
  const readable: Resources = {
    routes: routes.readable,
    services: validateKind(run, "services", kinds.services).readable,
    middlewares: validateKind(run, "middlewares", kinds.middlewares).readable,
    consumers: consumers.readable,
    plugins: validateKind(run, "plugins", kinds.plugins).readable,
    global: validateGlobal(document["global"], problems),
  };
  problems.push(...checkConsumers(consumers.valid), ...unreachableRoutes(routes.valid));
  if (gateway === undefined || problems.some((problem) => problem.severity === "error")) {
    return hidesReferences(document, sections) ? { problems } : { readable, problems };
  }
  // Without a problem everything that is readable is valid.
  return { value: { gateway, resources: readable }, readable, problems };
}

/**
 * Validates one resource on its own, as a store holds it: `validateDocument` without the rest. Paths begin with kind and
 * name. What only the whole can tell (two consumers with one key, routes behind others) is not looked for. Never throws.
 */
export function validateResource<K extends ResourceKind>(
  kind: K,
  name: string,
  written: unknown,
): { readonly value?: Resources[K][string]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const { value } = kinds[kind](name, written, problems);
  const wrong = value === undefined || problems.some(({ severity }) => severity === "error");
  return wrong ? { problems } : { value, problems };
}

/** Validates the chain in front of every route, on its own. Never throws. */
export function validateGlobalChain(written: unknown): ValidatedChain {
  const problems: Problem[] = [];
  const value = validateGlobal(written, problems);
  return problems.some(({ severity }) => severity === "error") ? { problems } : { value, problems };
}

export interface ValidatedChain {
  readonly value?: readonly ChainEntry[];
  readonly problems: readonly Problem[];
}

type ValidateOne<T> = (name: string, written: unknown, problems: Problem[]) => Validated<T>;

const kinds: { readonly [K in ResourceKind]: ValidateOne<Resources[K][string]> } = {
  routes: routeOf,
  services: named("services", serviceSchema, checkService, toService),
  middlewares: named("middlewares", chainEntrySchema, checkNamed, toNamed),
  consumers: named("consumers", consumerSchema, none, toConsumer),
  plugins: named("plugins", pluginSchema, none, toPlugin),
};

const judgedRoute = named("routes", routeSchema, checkRoute, toRoute);

function routeOf(name: string, written: unknown, problems: Problem[]): Validated<Resources["routes"][string]> {
  const value = nameProblem(name) === undefined ? plainRoute(written) : undefined;
  return value === undefined ? judgedRoute(name, written, problems) : { value, readable: value };
}

function named<S extends z.ZodType, T>(
  kind: ResourceKind,
  schema: S,
  check: RawCheck,
  normalize: (written: z.output<S>) => T,
): ValidateOne<T> {
  return (name, written, problems) => {
    const path = [kind, name];
    const wrongName = nameProblem(name);
    if (wrongName !== undefined) problems.push({ path, message: wrongName, severity: "error" });
    return validateOne(schema, written, path, check, normalize, problems);
  };
}

/** Whether what a section holds that others refer to is out of sight: it is misspelt, or no map. */
function hidesReferences(document: Readonly<Record<string, unknown>>, sections: readonly string[]): boolean {
  const referred = ["services", "middlewares", "plugins"];
  return Object.entries(document).some(([key, value]) =>
    sections.includes(key)
      ? referred.includes(key) && value !== null && value !== undefined && !isMap(value)
      : referred.includes(didYouMean(key, sections) ?? ""),
  );
}

/** Checks that do not depend on the schema having accepted the whole: they look at what is there. */
type RawCheck = (input: unknown, path: Path) => Problem[];

/** `value` is absent where something is wrong, `readable` where nothing of it could be read. */
interface Validated<T> {
  readonly value?: T;
  readonly readable?: T;
}

function validateOne<S extends z.ZodType, T>(
  schema: S,
  input: unknown,
  path: Path,
  check: RawCheck,
  normalize: (written: z.output<S>) => T,
  problems: Problem[],
): Validated<T> {
  const before = problems.length;
  const available = takeUnavailable(input, path, problems);
  const parsed = parseWith(schema, available, path);
  problems.push(...parsed.problems, ...check(available, path));
  const written = parsed.ok ? parsed.value : salvage(schema, available, path, parsed.problems);
  if (written === undefined) return {};
  const readable = normalize(written);
  // Where a raw check objects, normalizing had to guess which of two settings was meant.
  if (problems.slice(before).some((problem) => problem.severity === "error")) return { readable };
  return { value: readable, readable };
}

/** One validation of a document: what it is of, and where its problems go. */
interface Run {
  readonly document: Readonly<Record<string, unknown>>;
  readonly cache: ValidationCache | undefined;
  readonly problems: Problem[];
}

function validateKind<T>(
  { document, cache, problems }: Run,
  kind: ResourceKind,
  validate: ValidateOne<T>,
): { readonly valid: Record<string, T>; readonly readable: Record<string, T> } {
  const input = document[kind];
  const valid: [string, T][] = [];
  const all: [string, T][] = [];
  if (input === null || input === undefined) return { valid: {}, readable: {} };
  if (!isMap(input)) {
    problems.push({ path: [kind], message: `expected a map of names, got ${typeOf(input)}`, severity: "error" });
    return { valid: {}, readable: {} };
  }
  for (const [name, written] of Object.entries(input)) {
    let known = recall(cache, kind, name, written);
    if (known === undefined) {
      const own: Problem[] = [];
      known = { kind, name, validated: validate(name, written, own), problems: own };
      if (typeof written === "object" && written !== null) cache?.set(written, known);
    }
    const { validated } = known;
    for (const problem of known.problems) problems.push(problem);
    const { value, readable } = validated as Validated<T>; // the cache keeps kinds apart, and each has one T
    if (value !== undefined) valid.push([name, value]);
    if (readable !== undefined) all.push([name, readable]);
  }
  const readable = Object.fromEntries(all);
  // What is valid is readable: the same number of both is the same.
  return { valid: valid.length === all.length ? readable : Object.fromEntries(valid), readable };
}

function recall(cache: ValidationCache | undefined, kind: string, name: string, written: unknown): Known | undefined {
  if (cache === undefined || typeof written !== "object" || written === null) return undefined;
  const known = cache.get(written);
  // An alias can make two resources of one object.
  return known?.kind === kind && known.name === name ? known : undefined;
}

function validateGlobal(input: unknown, problems: Problem[]): readonly ChainEntry[] {
  if (input === null || input === undefined) return [];
  const normalize = (written: z.output<typeof documentSchema.shape.global>) => written.map(toChainEntry);
  return validateOne(documentSchema.shape.global, input, ["global"], checkChain, normalize, problems).readable ?? [];
}

/** A named configuration: one middleware with its settings. Conditions belong where it is used. */
function checkNamed(input: unknown, path: Path): Problem[] {
  const problems = checkChain([input], path.slice(0, -1), path.at(-1));
  if (isMap(input) && "when" in input) {
    const message = '"when" has no place in a named configuration';
    problems.push({
      path: [...path, "when"],
      message,
      hint: 'write "when" beside the name in the chain that uses it',
      severity: "error",
    });
  }
  return problems;
}

function toNamed(written: z.output<typeof chainEntrySchema>): MiddlewareResource {
  return { entry: toChainEntry(written) };
}

function none(): Problem[] {
  return [];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
