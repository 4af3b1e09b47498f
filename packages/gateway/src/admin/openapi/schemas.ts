import { documentJsonSchema } from "@headgate/schema";
import { z } from "zod";
import { explainInput } from "../../control/explain.ts";
import {
  announceBody,
  applyBody,
  checkBody,
  circuitBody,
  confirmBody,
  healthBody,
  replayBody,
  rollbackBody,
} from "../bodies.ts";
import { itemSchema, results } from "./results.ts";

/** A JSON Schema (draft 2020-12), as OpenAPI 3.1 takes it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

const valueNames = ["Route", "Service", "Middleware", "Consumer", "Certificate", "Plugin", "Settings"] as const;

type ValueName = (typeof valueNames)[number];

/** Every schema that an endpoint names. */
export type SchemaName =
  | ValueName
  | `${ValueName}List`
  | `${ValueName}Answer`
  | keyof typeof results
  | "Any"
  | "Text"
  | "Document"
  | "ExplainRequest"
  | "ApplyRequest"
  | "CheckRequest"
  | "RollbackRequest"
  | "ConfirmRequest"
  | "AnnounceRequest"
  | "CircuitRequest"
  | "ReplayRequest"
  | "HealthReport";

/** The section of a document that holds values of this kind. */
const sections: Readonly<Record<Exclude<ValueName, "Plugin" | "Settings">, string>> = {
  Route: "routes",
  Service: "services",
  Middleware: "middlewares",
  Consumer: "consumers",
  Certificate: "certificates",
};

/** A reference to one of the schemas. */
export function refer(name: SchemaName): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** All schemas, by name. Those of resources are what documents are validated with. */
export function allSchemas(): Readonly<Record<string, JsonSchema>> {
  const document = withoutDialect(documentJsonSchema());
  const values: Record<ValueName, JsonSchema> = {
    Route: valueIn(document, sections.Route),
    Service: valueIn(document, sections.Service),
    Middleware: valueIn(document, sections.Middleware),
    Consumer: valueIn(document, sections.Consumer),
    Certificate: valueIn(document, sections.Certificate),
    Plugin: {
      type: "object",
      properties: { source: { type: "string", description: "TypeScript; its default export is the middleware." } },
      required: ["source"],
      additionalProperties: false,
    },
    Settings: sectionOf(document, "global"),
  };
  const answers = valueNames.flatMap((name): [string, JsonSchema][] => {
    // A file names a plugin by its path.
    const value = name === "Plugin" ? { anyOf: [refer(name), valueIn(document, "plugins")] } : refer(name);
    const items = { type: "array", items: itemSchema(value) };
    const details = {
      type: "object",
      properties: { revision: { type: "integer" }, items },
      required: ["revision", "items"],
    };
    const map = { type: "object", additionalProperties: value };
    return [
      [`${name}List`, { anyOf: [map, details] }],
      [`${name}Answer`, { anyOf: [value, itemSchema(value)] }],
    ];
  });
  return {
    ...values,
    ...Object.fromEntries(answers),
    ...results,
    Any: {},
    Text: { type: "string" },
    Document: document,
    ExplainRequest: bodySchema(explainInput),
    ApplyRequest: bodySchema(applyBody),
    CheckRequest: bodySchema(checkBody),
    RollbackRequest: bodySchema(rollbackBody),
    ConfirmRequest: bodySchema(confirmBody),
    AnnounceRequest: bodySchema(announceBody),
    CircuitRequest: bodySchema(circuitBody),
    ReplayRequest: bodySchema(replayBody),
    HealthReport: bodySchema(healthBody),
  };
}

/** Kinds that documents do not have yet are anything. */
function valueIn(document: JsonSchema, section: string): JsonSchema {
  return mapOf(sectionOf(document, section)["additionalProperties"]);
}

function sectionOf(document: JsonSchema, section: string): JsonSchema {
  return mapOf(mapOf(document["properties"])[section]);
}

function mapOf(value: unknown): JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function bodySchema(schema: z.ZodType): JsonSchema {
  return withoutDialect(z.toJSONSchema(schema, { io: "input" }));
}

/** The dialect stands once, at the top of an OpenAPI document. */
function withoutDialect(schema: object): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== "$schema"));
}
