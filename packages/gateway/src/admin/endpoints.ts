import { stringify } from "yaml";
import type { GatewaySettings, Resources } from "@headgate/schema";
import { toDocument } from "../control/document.ts";
import type { Report } from "../control/report.ts";
import type { BoundAddress, WorkerStatus } from "../control/worker-messages.ts";
import { metricsContentType, type MetricsPage } from "../telemetry/metrics-page.ts";
import { AdminError, type AdminAnswer, type AdminEndpoint, type AdminRequest } from "./server.ts";

/** What the endpoints show; read anew for each request. */
export interface AdminParts {
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  /** The document that is served. */
  readonly source: string;
  readonly settings: GatewaySettings;
  readonly report: Report;
  readonly page: MetricsPage;
  /** What is live; `undefined` before the first publication. */
  readonly resources: () => Resources | undefined;
  readonly workers: () => readonly WorkerStatus[];
  readonly addresses: () => readonly BoundAddress[];
  readonly adminAddress: () => string;
  /** Which route takes a request and why. Throws an AdminError with 400 where the request makes no sense. */
  readonly explain: (request: unknown, resources: Resources) => unknown;
  /** Resolves when other work had its turn. */
  readonly breathe: () => Promise<void>;
}

/** The admin API of this version; `docs/admin.md` describes each, a test compares the two. */
export function adminEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return [
    { method: "GET", path: "/healthz", access: "anyone", handle: () => text(200, "ok\n") },
    { method: "GET", path: "/readyz", access: "anyone", handle: () => readiness(parts) },
    { method: "GET", path: "/metrics", access: "local", handle: () => metrics(parts) },
    { method: "GET", path: "/v1/status", access: "token", handle: () => ({ status: 200, json: status(parts) }) },
    { method: "GET", path: "/v1/export", access: "token", handle: (request) => exported(parts, request) },
    { method: "POST", path: "/v1/explain", access: "token", handle: (request) => explained(parts, request) },
  ];
}

function text(code: number, content: string): AdminAnswer {
  return { status: code, type: "text/plain; charset=utf-8", text: content };
}

function readiness({ report }: AdminParts): AdminAnswer {
  return report.phase === "serving" ? text(200, "ready\n") : text(503, `${report.phase}\n`);
}

function metrics({ page, breathe }: AdminParts): AdminAnswer {
  return { status: 200, type: metricsContentType, pieces: page.render(breathe) };
}

function status(parts: AdminParts): object {
  const { report } = parts;
  return {
    version: parts.version,
    node: parts.node,
    pid: parts.pid,
    phase: report.phase,
    startedAt: new Date(report.startedWallMs).toISOString(),
    uptimeSeconds: Math.round(report.uptimeSeconds * 1_000) / 1_000,
    revision: report.revision,
    liveSince: report.revision === 0 ? null : new Date(report.liveSinceWallMs).toISOString(),
    source: { kind: "file", path: parts.source },
    problems: report.problems,
    listening: parts.addresses().map(({ address }) => address),
    admin: parts.adminAddress(),
    workers: parts.workers(),
  };
}

/** YAML unless JSON is asked for; secrets only when they are asked for by name. */
function exported(parts: AdminParts, request: AdminRequest): AdminAnswer {
  const resources = live(parts);
  const document = toDocument(parts.settings, resources, request.url.searchParams.get("secrets") === "true");
  const format = request.url.searchParams.get("format") ?? preferred(request.header("accept"));
  const written = escapeReferences(document);
  if (format === "json") return { status: 200, json: written };
  if (format !== "yaml") throw new AdminError(400, `There is no format "${format}": use yaml or json.`);
  return { status: 200, type: "application/yaml; charset=utf-8", text: stringify(written, { lineWidth: 0 }) };
}

function preferred(accept = ""): string {
  return /\bapplication\/json\b/i.test(accept) && !/\byaml\b/i.test(accept) ? "json" : "yaml";
}

/** A text that would be expanded when the document is loaded again is written so that it stays what it is. */
function escapeReferences(value: unknown): unknown {
  if (typeof value === "string") return value.replace(/\$\{(?:file:[^}]*|[A-Z_][A-Z0-9_]*(?::-[^}]*)?)\}/g, "$$$&");
  if (Array.isArray(value)) return value.map(escapeReferences);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [key, escapeReferences(inner)]),
  );
}

async function explained(parts: AdminParts, request: AdminRequest): Promise<AdminAnswer> {
  const body = await request.json();
  return { status: 200, json: parts.explain(body, live(parts)) };
}

function live(parts: AdminParts): Resources {
  const resources = parts.resources();
  if (resources === undefined) throw new AdminError(503, "Nothing is live yet.");
  return resources;
}
