import type { MiddlewareDefinition } from "../proxy/middleware.ts";
import accessLog from "./access-log/index.ts";
import bodyLimit from "./body-limit/index.ts";
import cors from "./cors/index.ts";
import headers from "./headers/index.ts";
import ipRestriction from "./ip-restriction/index.ts";
import jwt from "./jwt/index.ts";
import keyAuth from "./key-auth/index.ts";
import rateLimit from "./rate-limit/index.ts";
import redirect from "./redirect/index.ts";
import requestId from "./request-id/index.ts";
import respond from "./respond/index.ts";
import rewrite from "./rewrite/index.ts";
import stripPrefix from "./strip-prefix/index.ts";

/** Every built-in middleware by its name in documents: one line each, in alphabetical order. */
export const middlewares: ReadonlyMap<string, MiddlewareDefinition> = table([
  accessLog,
  bodyLimit,
  cors,
  headers,
  ipRestriction,
  jwt,
  keyAuth,
  rateLimit,
  redirect,
  requestId,
  respond,
  rewrite,
  stripPrefix,
]);

function table(definitions: readonly MiddlewareDefinition[]): Map<string, MiddlewareDefinition> {
  return new Map(definitions.map((definition) => [definition.name, definition]));
}
