import type { Item } from "../../control/catalog/view.ts";
import type { ChangeOptions, Preconditions, ResourceResult } from "../../control/change/change.ts";
import { kinds, resourceNameProblem, type Kind } from "../../control/layout.ts";
import type { AdminAnswer, AdminEndpoint, AdminRequest, DescribedAnswer } from "../endpoint.ts";
import { authorOf, flag, messageOf, waitMs, type HeaderName, type QueryName } from "../parameters.ts";
import type { AdminParts, ChangeEngine } from "../parts.ts";
import { etagOf, preconditionsOf, readOutcome } from "../preconditions.ts";
import { AdminError } from "../problem.ts";
import type { SchemaName } from "../openapi/schemas.ts";
import { engineOf } from "./changes.ts";

/** Two MiB hold any resource that a store takes, also where JSON escapes much of it. */
const resourceBytesMax = 2 * 1024 * 1024;

const valueSchema = {
  routes: "Route",
  services: "Service",
  middlewares: "Middleware",
  consumers: "Consumer",
  certificates: "Certificate",
  plugins: "Plugin",
  settings: "Settings",
} as const satisfies Readonly<Record<Kind, SchemaName>>;

const writeQuery: readonly QueryName[] = ["dryRun", "message", "wait"];
const writeHeaders: readonly HeaderName[] = ["If-Match", "If-None-Match", "X-Headgate-Author"];

/** One list and one resource of each kind. */
export function resourceEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return kinds.flatMap((kind) => [
    listEndpoint(parts, kind),
    getEndpoint(parts, kind),
    putEndpoint(parts, kind),
    deleteEndpoint(parts, kind),
  ]);
}

function listEndpoint(parts: AdminParts, kind: Kind): AdminEndpoint {
  return {
    method: "GET",
    path: `/v1/${kind}`,
    access: "token",
    about: {
      summary: `All ${kind}, live or not, by name.`,
      query: ["details"],
      answers: {
        200: {
          description: "A map of names to values; with `details`, the items and the revision that runs.",
          content: { "application/json": `${valueSchema[kind]}List` },
        },
      },
    },
    handle: ({ url }) => {
      const items = [...parts.view.items(kind)].sort((a, b) => (a.name < b.name ? -1 : 1));
      if (flag(url, "details")) return { status: 200, json: { revision: parts.report.revision, items } };
      return { status: 200, json: Object.fromEntries(items.map(({ name, value }) => [name, value])) };
    },
  };
}

function getEndpoint(parts: AdminParts, kind: Kind): AdminEndpoint {
  return {
    method: "GET",
    path: `/v1/${kind}/{name}`,
    access: "token",
    about: {
      summary: `One of the ${kind}.`,
      query: ["details"],
      headers: ["If-Match", "If-None-Match"],
      answers: {
        200: {
          description: "The value as it is written; with `details`, the item.",
          content: { "application/json": `${valueSchema[kind]}Answer` },
          tagged: true,
        },
        304: { description: "It is what `If-None-Match` names." },
      },
    },
    handle: (request) => {
      const item = parts.view.item(kind, request.parameter("name"));
      if (item === undefined) throw notThere(kind, request.parameter("name"));
      return itemAnswer(item, request);
    },
  };
}

function itemAnswer(item: Item, request: AdminRequest): AdminAnswer {
  const etag = etagOf(item.revision);
  const details = flag(request.url, "details");
  switch (readOutcome(etag, request.header("if-match"), request.header("if-none-match"))) {
    case "changed":
      throw new AdminError(412, `${item.kind}/${item.name} has the ETag ${etag}.`, {}, { etag });
    case "unchanged":
      return { status: 304, headers: { etag } };
    case "send":
      return { status: 200, json: details ? item : item.value, headers: { etag } };
  }
}

function putEndpoint(parts: AdminParts, kind: Kind): AdminEndpoint {
  const schema = valueSchema[kind];
  const source = kind === "plugins" ? ({ "text/plain": "Text", "application/typescript": "Text" } as const) : {};
  return {
    method: "PUT",
    path: `/v1/${kind}/{name}`,
    access: "token",
    bodyBytesMax: resourceBytesMax,
    about: {
      summary: `Creates or replaces one of the ${kind}.`,
      query: writeQuery,
      headers: writeHeaders,
      body: { "application/json": schema, "application/yaml": schema, ...source },
      answers: { 200: changed("It was replaced, or is the same."), 201: changed("It was created.") },
    },
    handle: async (request) => {
      const { engine, name, options } = writeOf(parts, kind, request);
      const problem = resourceNameProblem(kind, name);
      if (problem !== undefined) throw new AdminError(400, `${problem.charAt(0).toUpperCase()}${problem.slice(1)}.`);
      const result = await engine.put(kind, name, await valueOf(kind, request), options);
      return resultAnswer(result, result.created && !result.dryRun ? 201 : 200);
    },
  };
}

function deleteEndpoint(parts: AdminParts, kind: Kind): AdminEndpoint {
  return {
    method: "DELETE",
    path: `/v1/${kind}/{name}`,
    access: "token",
    about: {
      summary: `Deletes one of the ${kind}.`,
      query: writeQuery,
      headers: writeHeaders,
      answers: { 200: changed("It was deleted.") },
    },
    handle: async (request) => {
      const { engine, name, options } = writeOf(parts, kind, request);
      if (resourceNameProblem(kind, name) !== undefined) throw notThere(kind, name);
      return resultAnswer(await engine.delete(kind, name, options), 200);
    },
  };
}

function changed(description: string): DescribedAnswer {
  return { description, content: { "application/json": "ApplyResult" }, tagged: true };
}

function writeOf(
  parts: AdminParts,
  kind: Kind,
  { url, header, parameter }: AdminRequest,
): { engine: ChangeEngine; name: string; options: ChangeOptions & Preconditions } {
  const engine = engineOf(parts);
  const name = parameter("name");
  const here = parts.view.item(kind, name);
  if (here?.source === "file") {
    const file = parts.source ?? "a file";
    const remedy = "edit it there, or remove it from there first";
    throw new AdminError(409, `${kind}/${name} comes from ${file}, which goes before the store: ${remedy}.`);
  }
  const message = messageOf(url.searchParams.get("message"));
  const wait = waitMs(url.searchParams.get("wait"));
  const options = {
    author: authorOf(header("x-headgate-author")),
    dryRun: flag(url, "dryRun"),
    ...(message === undefined ? {} : { message }),
    ...(wait === undefined ? {} : { waitMs: wait }),
    ...preconditionsOf(header("if-match"), header("if-none-match")),
  };
  return { engine, name, options };
}

async function valueOf(kind: Kind, request: AdminRequest): Promise<unknown> {
  const body = await request.read(kind === "plugins" ? ["json", "yaml", "text"] : ["json", "yaml"]);
  if (body.kind === "text") return { source: body.text };
  if (body.empty) throw new AdminError(400, "The body is empty: send the resource as JSON or YAML.");
  return body.value;
}

function resultAnswer({ created: _created, modRevision, ...result }: ResourceResult, status: number): AdminAnswer {
  const headers = modRevision === 0 ? {} : { etag: etagOf(modRevision) };
  return { status, json: result, headers };
}

function notThere(kind: Kind, name: string): AdminError {
  return new AdminError(404, `There is no ${kind}/${name}: GET /v1/${kind} lists those there are.`);
}
