import { metricsContentType } from "../../telemetry/metrics-page.ts";
import type { AdminAnswer, AdminEndpoint } from "../endpoint.ts";
import type { AdminParts } from "../parts.ts";

/** Whether the gateway runs, and what. */
export function operationEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return [
    {
      method: "GET",
      path: "/healthz",
      access: "anyone",
      about: { summary: "Answers while the process runs.", answers: { 200: plain("It runs.") } },
      handle: () => text(200, "ok\n"),
    },
    {
      method: "GET",
      path: "/readyz",
      access: "anyone",
      about: {
        summary: "Answers 200 while requests are served.",
        answers: { 200: plain("Requests are served."), 503: plain("The phase it is in.") },
      },
      handle: () => readiness(parts),
    },
    {
      method: "GET",
      path: "/metrics",
      access: "local",
      about: { summary: "Metrics for Prometheus.", answers: { 200: plain("Text format 0.0.4.") } },
      handle: () => ({ status: 200, type: metricsContentType, pieces: parts.page.render(parts.breathe) }),
    },
    {
      method: "GET",
      path: "/v1/status",
      access: "token",
      about: {
        summary: "What runs, what was rejected and why, and the gateways on the same store.",
        answers: { 200: { description: "The status.", content: { "application/json": "Status" } } },
      },
      handle: () => ({ status: 200, json: status(parts) }),
    },
  ];
}

function plain(description: string): { description: string; content: { "text/plain": "Text" } } {
  return { description, content: { "text/plain": "Text" } };
}

function text(code: number, content: string): AdminAnswer {
  return { status: code, type: "text/plain; charset=utf-8", text: content };
}

function readiness({ report }: AdminParts): AdminAnswer {
  return report.phase === "serving" ? text(200, "ready\n") : text(503, `${report.phase}\n`);
}

function status(parts: AdminParts): object {
  const { report } = parts;
  return {
    version: parts.version,
    runtime: parts.node,
    pid: parts.pid,
    phase: report.phase,
    startedAt: new Date(report.startedWallMs).toISOString(),
    uptimeSeconds: rounded(report.uptimeSeconds),
    revision: report.revision,
    liveSince: report.revision === 0 ? null : new Date(report.liveSinceWallMs).toISOString(),
    ...origin(parts),
    problems: report.problems,
    health: parts.health(),
    discovery: parts.discovery(),
    listening: parts.addresses().map(({ address }) => address),
    admin: parts.adminAddress(),
    workers: parts.workers(),
  };
}

/** Where the configuration comes from, and who shares it. */
function origin({ source, report, store }: AdminParts): object {
  const path = source === undefined ? {} : { path: source };
  const config = { configSource: report.source, configAgeSeconds: rounded(report.ageSeconds) };
  const known = store();
  if (known === undefined) {
    return { source: { kind: "file", ...path }, ...config, node: null, nodes: [], confirmations: [] };
  }
  const { node, nodes, confirmations, ...facts } = known;
  return {
    source: { kind: "store", ...path, store: facts.url },
    ...config,
    store: facts,
    node,
    nodes,
    confirmations,
  };
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1_000) / 1_000;
}
