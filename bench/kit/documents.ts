import { createHmac } from "node:crypto";

export interface DocumentOptions {
  readonly upstreamPort: number;
  /** 1: one route that takes everything. More: `/api/v1/service-<i>/*` each. Default 1. */
  readonly routes?: number;
  /** request-id, jwt and a rate limit that no load here reaches. Default off. */
  readonly chain?: boolean;
  /** One more route, `/revision`, that answers with this text; for changes while running. */
  readonly revision?: string;
  /** Default 1. */
  readonly workers?: number;
}

const jwtSecret = "a secret of the benchmark that guards nothing";

/** Writes a Headgate document: access log off, metrics as always. */
export function headgateDocument(
  options: DocumentOptions,
): (at: { port: number; adminPort: number; dataDir: string }) => string {
  return ({ port, adminPort, dataDir }) =>
    [
      "gateway:",
      `  listen: [{ address: "127.0.0.1:${port}" }]`,
      `  admin: { address: "127.0.0.1:${adminPort}" }`,
      `  workers: ${options.workers ?? 1}`,
      `  dataDir: ${JSON.stringify(dataDir)}`,
      "  timeouts: { keepAlive: 10m }",
      '  accessLog: { format: "off" }',
      ...(options.chain === true ? chainLines() : []),
      "routes:",
      ...routeLines(options),
      "services:",
      "  upstream:",
      `    instances: [{ address: "127.0.0.1:${options.upstreamPort}" }]`,
      "",
    ].join("\n");
}

function chainLines(): string[] {
  return [
    "global:",
    "  - request-id",
    `  - jwt: { secret: ${JSON.stringify(jwtSecret)}, algorithms: [HS256], issuer: bench }`,
    "  - rate-limit: { limit: 1000000, per: 1s, by: client }",
  ];
}

function routeLines({ routes = 1, revision }: DocumentOptions): string[] {
  const lines: string[] = [];
  if (revision !== undefined) {
    lines.push("  revision:", "    match: { path: /revision }");
    lines.push(`    respond: { status: 200, body: ${JSON.stringify(revision)} }`);
  }
  if (routes === 1) return [...lines, "  all:", '    match: { path: "/*" }', "    to: upstream"];
  for (let i = 0; i < routes; i++) {
    lines.push(`  service-${i}:`, `    match: { path: "/api/v1/service-${i}/*" }`, "    to: upstream");
  }
  return lines;
}

/** A token the chain accepts for a day from `wallMs`, milliseconds since 1970. */
export function benchToken(wallMs: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: "bench", sub: "load", exp: Math.floor(wallMs / 1000) + 86_400 };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", jwtSecret).update(signed).digest("base64url")}`;
}
