import type { AdminEndpoint } from "./endpoint.ts";
import { changeEndpoints } from "./endpoints/changes.ts";
import { circuitEndpoints } from "./endpoints/circuits.ts";
import { eventEndpoints } from "./endpoints/events.ts";
import { instanceEndpoints } from "./endpoints/instances.ts";
import { liveEndpoints } from "./endpoints/live.ts";
import { operationEndpoints } from "./endpoints/operations.ts";
import { queueEndpoints } from "./endpoints/queue.ts";
import { resourceEndpoints } from "./endpoints/resources.ts";
import { openApiDocument } from "./openapi/document.ts";
import type { AdminParts } from "./parts.ts";

/** The admin API; `docs/admin.md` and `/openapi.json` describe each endpoint, tests compare them. */
export function adminEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  const endpoints: AdminEndpoint[] = [
    ...operationEndpoints(parts),
    ...liveEndpoints(parts),
    ...resourceEndpoints(parts),
    ...changeEndpoints(parts),
    ...instanceEndpoints(parts),
    ...circuitEndpoints(parts),
    ...queueEndpoints(parts),
    ...eventEndpoints(parts),
  ];
  let document: object | undefined;
  endpoints.push({
    method: "GET",
    path: "/openapi.json",
    access: "token",
    about: {
      summary: "This description.",
      answers: { 200: { description: "OpenAPI 3.1.", content: { "application/json": "Any" } } },
    },
    handle: () => ({ status: 200, json: (document ??= openApiDocument(endpoints, parts.version)) }),
  });
  return endpoints;
}
