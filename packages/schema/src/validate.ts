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
import { toChainEntry, toConsumer, toGateway, toPlugin, toRoute, toService } from "./normalize.ts";
import { parseWith, typeOf, unknownKey } from "./problems.ts";
import type { Path, Problem } from "./problems.ts";
import { unreachableRoutes } from "./reach.ts";
import type { ChainEntry, GatewaySettings, MiddlewareResource, Resources } from "./resources.ts";
import { takeUnavailable, unavailableProblem } from "./unavailable.ts";

export interface ValidatedDocument {
  /** Absent if any problem is an error. */
  readonly value?: { readonly gateway: GatewaySettings; readonly resources: Resources };
  readonly problems: readonly Problem[];
}

/**
 * Validates a whole document: every problem, not the first. References between resources and the settings of
 * middlewares are not its business. Absent and empty sections are the same. Never throws.
 */
export function validateDocument(input: unknown): ValidatedDocument {
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
  const gateway = validateOne(gatewaySchema, document["gateway"] ?? {}, ["gateway"], checkGateway, toGateway, problems);
  const routes = validateKind(document["routes"], "routes", routeSchema, checkRoute, toRoute, problems);
  const resources: Resources = {
    routes,
    services: validateKind(document["services"], "services", serviceSchema, checkService, toService, problems),
    middlewares: validateKind(document["middlewares"], "middlewares", chainEntrySchema, checkNamed, toNamed, problems),
    consumers: validateKind(document["consumers"], "consumers", consumerSchema, none, toConsumer, problems),
    plugins: validateKind(document["plugins"], "plugins", pluginSchema, none, toPlugin, problems),
    global: validateGlobal(document["global"], problems),
  };
  problems.push(...checkConsumers(resources.consumers), ...unreachableRoutes(routes));
  if (gateway === undefined || problems.some((problem) => problem.severity === "error")) return { problems };
  return { value: { gateway, resources }, problems };
}

/** Checks that do not depend on the schema having accepted the whole: they look at what is there. */
type RawCheck = (input: unknown, path: Path) => Problem[];

function validateOne<S extends z.ZodType, T>(
  schema: S,
  input: unknown,
  path: Path,
  check: RawCheck,
  normalize: (written: z.output<S>) => T,
  problems: Problem[],
): T | undefined {
  const before = problems.length;
  const available = takeUnavailable(input, path, problems);
  const parsed = parseWith(schema, available, path);
  problems.push(...parsed.problems, ...check(available, path));
  // Where a raw check objects, normalizing would have to guess which of two settings was meant.
  if (!parsed.ok || problems.slice(before).some((problem) => problem.severity === "error")) return undefined;
  return normalize(parsed.value);
}

function validateKind<S extends z.ZodType, T>(
  input: unknown,
  kind: string,
  schema: S,
  check: RawCheck,
  normalize: (written: z.output<S>) => T,
  problems: Problem[],
): Record<string, T> {
  const valid: [string, T][] = [];
  if (input === null || input === undefined) return {};
  if (!isMap(input)) {
    problems.push({ path: [kind], message: `expected a map of names, got ${typeOf(input)}`, severity: "error" });
    return {};
  }
  for (const [name, written] of Object.entries(input)) {
    const path = [kind, name];
    const wrongName = nameProblem(name);
    if (wrongName !== undefined) problems.push({ path, message: wrongName, severity: "error" });
    const value = validateOne(schema, written, path, check, normalize, problems);
    if (value !== undefined) valid.push([name, value]);
  }
  return Object.fromEntries(valid);
}

function validateGlobal(input: unknown, problems: Problem[]): ChainEntry[] {
  if (input === null || input === undefined) return [];
  const normalize = (written: z.output<typeof documentSchema.shape.global>) => written.map(toChainEntry);
  return validateOne(documentSchema.shape.global, input, ["global"], checkChain, normalize, problems) ?? [];
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
