import { z } from "zod";
import { discoverSchema } from "./discover-schema.ts";
import * as leaf from "./leaves.ts";
import { duration, ratio, timeout } from "./units.ts";

/*
 * What a service may say of its instances and of how they are used: balancing, timeouts, retries, health, breaking and
 * limits. `docs/configuration.md` describes each key for its users, and a test compares the two.
 */

const nonEmpty = z.string().min(1);
const instanceAddress = leaf.checkedText((address) => leaf.addressProblem(address, 1, true));
const headerName = leaf.checkedText(leaf.headerNameProblem);
const headerValue = leaf.checkedText(leaf.headerValueProblem);

const retryOnExpected = 'expected "connect", "reset", "timeout" or a status from 400 to 599';

/** A status may be written as a number too: `502` without quotes is what YAML makes of it. */
const retryOn = z.union(
  [
    z.enum(["connect", "reset", "timeout"]),
    z.int({ error: retryOnExpected }).min(400, retryOnExpected).max(599, retryOnExpected),
    z.string().regex(/^[45]\d\d$/, retryOnExpected),
  ],
  { error: retryOnExpected },
);

const policyExpected =
  'expected "peak-ewma", "least-requests", "round-robin", or a map with one of "hash" and "sticky"';

/** Exactly one of the five places; `checkService` sees to it. */
const hashSchema = z.strictObject({
  header: headerName.optional(),
  cookie: headerName.optional(),
  query: nonEmpty.optional(),
  param: nonEmpty.optional(),
  client: z.literal(true).optional(),
  loadFactor: z.number().min(1).max(10).optional(),
});

const stickySchema = z.strictObject({
  cookie: headerName.prefault("hg"),
  ttl: duration({ minMs: 1_000, maxMs: 400 * 24 * 3_600_000 }).optional(),
  path: nonEmpty.max(256).prefault("/"),
  secure: z.boolean().prefault(false),
});

const balanceSchema = z
  .union(
    [
      z.enum(["peak-ewma", "least-requests", "round-robin"]),
      z.strictObject({ hash: hashSchema.optional(), sticky: stickySchema.optional() }),
    ],
    { error: policyExpected },
  )
  .prefault("peak-ewma");

const circuitBreakerSchema = z.strictObject({
  failureRatio: ratio().prefault("50%"),
  window: duration({ minMs: 100, maxMs: 3_600_000 }).prefault("10s"),
  minRequests: z.int().min(1).max(1_000_000).prefault(20),
  consecutive: z.int().min(0).max(1_000_000).prefault(5),
  open: duration({ minMs: 10, maxMs: 3_600_000 }).prefault("5s"),
  openMax: duration({ minMs: 10, maxMs: 24 * 3_600_000 }).optional(),
  slowCall: timeout().optional(),
  slowRatio: ratio().prefault("80%"),
  halfOpenRequests: z.int().min(1).max(1_000).prefault(3),
});

const outlierDetectionSchema = z.strictObject({
  maxEjected: ratio().prefault("50%"),
  base: duration({ minMs: 10, maxMs: 3_600_000 }).prefault("30s"),
  max: duration({ minMs: 10, maxMs: 24 * 3_600_000 }).prefault("5m"),
  consecutive: z.int().min(1).max(1_000_000).prefault(5),
  interval: duration({ minMs: 100, maxMs: 3_600_000 }).prefault("10s"),
});

const statusRange = z.union([
  z.int().min(100).max(599),
  z.string().regex(/^[1-5](?:\d\d|xx)$|^[1-5]\d\d-[1-5]\d\d$/, 'expected a status, "2xx" or a range such as "200-399"'),
]);

const healthCheckSchema = z.strictObject({
  path: leaf.checkedText(leaf.targetProblem).optional(),
  tcp: z.literal(true).optional(),
  method: z.enum(["GET", "HEAD", "OPTIONS"]).prefault("GET"),
  host: leaf.checkedText((host) => (host === "" ? "must not be empty" : leaf.headerValueProblem(host))).optional(),
  headers: z.record(headerName, headerValue).prefault({}),
  status: z.union([statusRange, z.array(statusRange).min(1)]).prefault("200-399"),
  body: nonEmpty.max(1024).optional(),
  port: z.int().min(1).max(65_535).optional(),
  interval: duration({ minMs: 50, maxMs: 3_600_000 }).prefault("5s"),
  timeout: timeout().prefault("1s"),
  healthy: z.int().min(1).max(100).prefault(2),
  unhealthy: z.int().min(1).max(100).prefault(3),
});

const requestsMax = z.int().min(1).max(1_000_000);

const concurrencySchema = z.union([
  requestsMax,
  z.strictObject({
    limit: requestsMax.optional(),
    adaptive: z.literal(true).optional(),
    min: requestsMax.optional(),
    max: requestsMax.optional(),
    initial: requestsMax.optional(),
  }),
]);

/** The schema of a service; chains are of `document.ts`. */
export function serviceSchemaOf<Chain extends z.ZodType>(chainEntry: Chain) {
  return z.strictObject({
    instances: z
      .array(z.strictObject({ address: instanceAddress, weight: leaf.weight(), zone: nonEmpty.max(128).optional() }))
      .prefault([]),
    discover: discoverSchema.optional(),
    protocol: z.enum(["http"]).prefault("http"),
    balance: balanceSchema,
    preferZone: z.boolean().prefault(true),
    slowStart: duration({ maxMs: 3_600_000 }).prefault("0s"),
    panicThreshold: ratio().prefault("50%"),
    timeouts: z
      .strictObject({
        connect: timeout().prefault("2s"),
        firstByte: timeout().prefault("15s"),
        idle: timeout().prefault("60s"),
      })
      .prefault({}),
    retry: z
      .strictObject({
        attempts: z.int().min(0).max(10).prefault(1),
        on: z.array(retryOn).prefault(["connect", "reset", "timeout"]),
        budget: ratio().prefault("20%"),
        backoff: duration({ maxMs: 60_000 }).prefault("25ms"),
        perTry: timeout().optional(),
      })
      .prefault({}),
    hedging: z.strictObject({ after: timeout(), max: z.int().min(1).max(3).prefault(1) }).optional(),
    circuitBreaker: circuitBreakerSchema.optional(),
    outlierDetection: z.union([z.literal(false), outlierDetectionSchema]).prefault({}),
    healthCheck: healthCheckSchema.optional(),
    concurrency: concurrencySchema.optional(),
    pool: z
      .strictObject({
        max: z.int().min(1).max(65_536).prefault(256),
        idle: timeout().prefault("60s"),
      })
      .prefault({}),
    use: z.array(chainEntry).prefault([]),
  });
}
