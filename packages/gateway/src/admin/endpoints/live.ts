import { stringify } from "yaml";
import type { Resources } from "@headgate/schema";
import { toDocument } from "../../control/document.ts";
import { escapeReferences } from "../../control/store/references.ts";
import type { AdminAnswer, AdminEndpoint, AdminRequest } from "../endpoint.ts";
import { flag } from "../parameters.ts";
import type { AdminParts } from "../parts.ts";
import { AdminError } from "../problem.ts";

/** What is live, as a document and for one request. */
export function liveEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return [
    {
      method: "GET",
      path: "/v1/export",
      access: "token",
      about: {
        summary: "The live configuration as one document.",
        query: ["format", "secrets"],
        answers: {
          200: {
            description: "The document.",
            content: { "application/yaml": "Document", "application/json": "Document" },
          },
        },
      },
      handle: (request) => exported(parts, request),
    },
    {
      method: "POST",
      path: "/v1/explain",
      access: "token",
      about: {
        summary: "Which route takes a request and why.",
        body: { "application/json": "ExplainRequest" },
        answers: { 200: { description: "The explanation.", content: { "application/json": "Explanation" } } },
      },
      handle: async (request) => ({ status: 200, json: await parts.explain(await request.json(), live(parts)) }),
    },
  ];
}

/** YAML unless JSON is asked for; secrets only when they are asked for by name. */
function exported(parts: AdminParts, request: AdminRequest): AdminAnswer {
  const format = request.url.searchParams.get("format") ?? preferred(request.header("accept"));
  const document = toDocument(parts.settings, live(parts), flag(request.url, "secrets"));
  const written = escapeReferences(document);
  if (format === "json") return { status: 200, json: written };
  if (format !== "yaml") throw new AdminError(400, `There is no format "${format}": use yaml or json.`);
  return { status: 200, type: "application/yaml; charset=utf-8", text: stringify(written, { lineWidth: 0 }) };
}

function preferred(accept = ""): string {
  return /\bapplication\/json\b/i.test(accept) && !/\byaml\b/i.test(accept) ? "json" : "yaml";
}

function live(parts: AdminParts): Resources {
  const resources = parts.resources();
  if (resources === undefined) throw new AdminError(503, "Nothing is live yet.");
  return resources;
}
