/**
 * What the author of a middleware imports as `headgate`. Light on purpose: plugins import it in every worker, so it
 * reaches neither the engine nor the control side.
 */
export { bytes, duration, ratio } from "@headgate/schema";
export { z } from "zod";
export type { Clock, Random } from "./core/clock.ts";
export { errors, GatewayError } from "./core/errors.ts";
export type { ErrorCode, ErrorDetails, ErrorFacts, ErrorSource, RetrySafety } from "./core/errors.ts";
export type { Log } from "./core/log.ts";
export { compileTemplate } from "./core/template.ts";
export type { Template, TemplateOptions, TemplateSource } from "./core/template.ts";
export type {
  Answer,
  BodyFraming,
  Client,
  ConsumerRef,
  Exchange,
  ExchangeRequest,
  ExchangeResponse,
  RouteMatch,
} from "./proxy/exchange.ts";
export type { Fields } from "./proxy/http1/fields.ts";
export { defineMiddleware } from "./proxy/middleware.ts";
export type {
  Attempt,
  AttemptHook,
  BuiltMiddleware,
  Counter,
  Kit,
  LimiterResult,
  LimiterState,
  LogSink,
  Middleware,
  MiddlewareDefinition,
  Next,
} from "./proxy/middleware.ts";
