import type { AdminEndpoint, DescribedAnswer } from "../endpoint.ts";
import { headerParameters, queryParameters } from "../parameters.ts";
import { allSchemas, refer, type SchemaName } from "./schemas.ts";

type Written = Readonly<Record<string, unknown>>;

/** The endpoints as an OpenAPI 3.1 document. Pure. */
export function openApiDocument(endpoints: readonly AdminEndpoint[], version: string): Written {
  const paths: Record<string, Record<string, Written>> = {};
  for (const endpoint of endpoints) {
    (paths[endpoint.path] ??= {})[endpoint.method.toLowerCase()] = operation(endpoint);
  }
  return {
    openapi: "3.1.1",
    jsonSchemaDialect: "https://json-schema.org/draft/2020-12/schema",
    info: { title: "Headgate admin API", version },
    // A client that got it from there finds the rest there.
    servers: [{ url: "/" }],
    security: [{ token: [] }],
    paths,
    components: {
      schemas: allSchemas(),
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "The content of `<dataDir>/admin-token`." },
      },
    },
  };
}

function operation({ method, path, access, about }: AdminEndpoint): Written {
  const { summary, body } = about;
  const parameters = [...pathParameters(path), ...queryOf(about.query), ...headersOf(about.headers)];
  return {
    operationId: operationId(method, path),
    summary,
    ...(access === "token" ? {} : { security: access === "anyone" ? [] : [{}, { token: [] }] }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: contentOf(body) } }),
    responses: {
      ...Object.fromEntries(Object.entries(about.answers).map(([status, answer]) => [status, answerOf(answer)])),
      default: { description: "Why not.", content: contentOf({ "application/problem+json": "Error" }) },
    },
  };
}

/** `GET /v1/routes/{name}` is `getRoutesName`. */
function operationId(method: string, path: string): string {
  const words = path.replace(/^\/v1\//, "/").split(/[^a-zA-Z]+/);
  const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
  return method.toLowerCase() + name;
}

function pathParameters(path: string): Written[] {
  return Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryOf(names: readonly (keyof typeof queryParameters)[] = []): Written[] {
  return names.map((name) => ({ name, in: "query", ...queryParameters[name] }));
}

function headersOf(names: readonly (keyof typeof headerParameters)[] = []): Written[] {
  return names.map((name) => ({ name, in: "header", ...headerParameters[name] }));
}

function answerOf({ description, content, tagged }: DescribedAnswer): Written {
  const etag = { description: "For `If-Match`.", schema: { type: "string" } };
  return {
    description,
    ...(tagged === true ? { headers: { ETag: etag } } : {}),
    ...(content === undefined ? {} : { content: contentOf(content) }),
  };
}

function contentOf(content: Readonly<Record<string, SchemaName>>): Written {
  return Object.fromEntries(Object.entries(content).map(([type, name]) => [type, { schema: refer(name) }]));
}
