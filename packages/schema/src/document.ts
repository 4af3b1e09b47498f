import { z } from "zod";
import * as leaf from "./leaves.ts";
import { serviceSchemaOf } from "./service-schema.ts";
import { bytes, duration, ratio, timeout } from "./units.ts";

/*
 * The document as it is written: every key, its type, its unit and its default. What a value means after validation
 * is in `resources.ts`; `docs/configuration.md` describes each key for its users, and a test compares the two.
 */

const name = leaf.checkedText(leaf.nameProblem);
const nonEmpty = z.string().min(1);
const network = leaf.checkedText(leaf.networkProblem);
const listenAddress = leaf.checkedText((address) => leaf.addressProblem(address, 0, false));
const headerName = leaf.checkedText(leaf.headerNameProblem);
const headerValue = leaf.checkedText(leaf.headerValueProblem);

/** The whole value, or one of `regex` and `exists`; `conditionProblem` in validate.ts sees to "one of". */
const textCondition = z.union([
  z.string(),
  z.strictObject({ regex: leaf.checkedText(leaf.regexProblem).optional(), exists: z.boolean().optional() }),
]);

/** One alternative of a route, or a `when`. */
export const matchSchema = z.strictObject({
  hosts: z.array(leaf.checkedText(leaf.hostProblem)).min(1).optional(),
  path: leaf.checkedText(leaf.pathProblem).optional(),
  methods: z.array(leaf.checkedText(leaf.methodProblem)).min(1).optional(),
  headers: z.record(headerName, textCondition).optional(),
  query: z.record(nonEmpty, textCondition).optional(),
  cookies: z.record(headerName, textCondition).optional(),
  clients: z.array(network).min(1).optional(),
});

/** A step of a chain: a name, or a map of one name to its settings, with `when` beside it. */
export const chainEntrySchema = z.union([name, z.looseObject({ when: matchSchema.optional() })]);

/** A named configuration: a chain entry whose conditions stand where it is used. */
const namedSchema = z.union([name, z.looseObject({})]);

export const respondSchema = z.strictObject({
  status: z.int().min(200).max(599).prefault(200),
  headers: z.record(headerName, headerValue).prefault({}),
  body: z.string().prefault(""),
});

/** Store-and-forward: answered once durably queued, delivered afterwards. */
const deliverySchema = z.strictObject({
  mode: z.enum(["sync", "async"]).prefault("async"),
  deadline: duration({ minMs: 1_000, maxMs: 30 * 24 * 3_600_000 }).prefault("24h"),
  backoff: duration({ minMs: 10, maxMs: 3_600_000 }).prefault("1s"),
  backoffMax: duration({ minMs: 10, maxMs: 24 * 3_600_000 }).prefault("10m"),
  body: bytes({ max: 16 * 1024 ** 2 }).prefault("1MiB"),
});

/** What `delivery: async` means. */
export const defaultDelivery = deliverySchema.parse({});

export const routeSchema = z.strictObject({
  match: z.union([matchSchema, z.array(matchSchema).min(1)]).optional(),
  use: z.array(chainEntrySchema).prefault([]),
  to: z.union([name, z.array(z.strictObject({ service: name, weight: leaf.weight() })).min(1)]).optional(),
  respond: respondSchema.optional(),
  fallback: z.strictObject({ service: name.optional(), respond: respondSchema.optional() }).optional(),
  timeout: timeout().optional(),
  priority: z.int().min(-1_000_000).max(1_000_000).prefault(0),
  delivery: z.union([z.enum(["sync", "async"]), deliverySchema]).prefault("sync"),
  importance: z.enum(["low", "normal", "high", "critical"]).prefault("normal"),
});

/** What a service may say; `service-schema.ts` has its policies. */
export const serviceSchema = serviceSchemaOf(chainEntrySchema);

export const consumerSchema = z.strictObject({
  keys: z.array(nonEmpty.max(4096)).prefault([]),
  groups: z.array(nonEmpty.max(128)).prefault([]),
  jwt: z.strictObject({ subject: nonEmpty }).optional(),
});

/** What a plugin's source may have: an etcd value ends at 1.5 MiB, the rest of the resource included. */
const pluginSourceCharactersMax = 1024 ** 2;

export const pluginSchema = z.union([
  nonEmpty,
  z
    .strictObject({ path: nonEmpty.optional(), source: nonEmpty.max(pluginSourceCharactersMax).optional() })
    .refine(({ path, source }) => (path === undefined) !== (source === undefined), {
      error: 'a plugin has either "path" or "source"',
    }),
]);

const endpoint = leaf.checkedText(leaf.endpointProblem);
const anyPrefix = leaf.checkedText(leaf.keyPrefixProblem);
const keyPrefix = anyPrefix.prefault("/headgate/");

/** Exactly one of the two; `checkGateway` sees to it. */
const storeSchema = z.strictObject({
  etcd: z
    .strictObject({
      endpoints: z.array(endpoint).min(1),
      prefix: keyPrefix,
      username: nonEmpty.optional(),
      password: z.string().optional(),
      tls: z
        .strictObject({
          ca: nonEmpty.optional(),
          cert: nonEmpty.optional(),
          key: nonEmpty.optional(),
          serverName: nonEmpty.optional(),
        })
        .optional(),
    })
    .optional(),
  embedded: z.strictObject({ prefix: keyPrefix, listen: listenAddress.optional() }).optional(),
});

export const gatewaySchema = z.strictObject({
  listen: z
    .array(z.strictObject({ address: listenAddress }))
    .min(1)
    .prefault([{ address: "0.0.0.0:8080" }]),
  admin: z.strictObject({ address: listenAddress.prefault("127.0.0.1:9080") }).prefault({}),
  workers: z.union([z.literal("auto"), z.int().min(0).max(256)]).prefault("auto"),
  dataDir: nonEmpty.prefault("./data"),
  store: storeSchema.optional(),
  registry: z.strictObject({ prefix: anyPrefix.prefault("/services/") }).prefault({}),
  zone: nonEmpty.max(128).optional(),
  redis: z.strictObject({ url: leaf.checkedText(leaf.redisUrlProblem) }).optional(),
  queue: z
    .strictObject({
      store: z.enum(["embedded", "redis"]).prefault("embedded"),
      messages: z.int().min(1).max(100_000_000).prefault(100_000),
      size: bytes({ min: 1024 ** 2 }).prefault("1GiB"),
      deadLetters: z.int().min(1).max(100_000_000).prefault(10_000),
      secret: z.string().min(16).max(4096).optional(),
    })
    .prefault({}),
  overload: z
    .union([
      z.literal(false),
      z.strictObject({ utilization: ratio().prefault("95%"), delay: timeout().prefault("100ms") }),
    ])
    .prefault({}),
  trustedProxies: z.array(network).prefault([]),
  timeouts: z
    .strictObject({
      requestHead: timeout().prefault("10s"),
      requestBodyIdle: timeout().prefault("30s"),
      keepAlive: timeout().prefault("75s"),
      drain: duration({ maxMs: 3_600_000 }).prefault("30s"),
    })
    .prefault({}),
  limits: z
    .strictObject({
      requestHead: bytes({ min: 1024, max: 1024 ** 2 }).prefault("32KiB"),
      headers: z.int().min(1).max(10_000).prefault(100),
      uri: bytes({ min: 64, max: 1024 ** 2 }).prefault("8KiB"),
      connections: z.int().min(1).max(10_000_000).prefault(20_000),
    })
    .prefault({}),
  accessLog: z
    .strictObject({
      path: nonEmpty.prefault("-"),
      format: z.enum(["json", "combined", "ecs", "off"]).prefault("json"),
    })
    .prefault({}),
});

/** The whole document. Validation takes it resource by resource; this is what editors are told. */
export const documentSchema = z.strictObject({
  gateway: gatewaySchema.prefault({}),
  global: z.array(chainEntrySchema).prefault([]),
  middlewares: z.record(name, namedSchema).prefault({}),
  routes: z.record(name, routeSchema).prefault({}),
  services: z.record(name, serviceSchema).prefault({}),
  consumers: z.record(name, consumerSchema).prefault({}),
  plugins: z.record(name, pluginSchema).prefault({}),
});

/** JSON Schema (draft 2020-12) of a document as it is written, for editors. */
export function documentJsonSchema(): object {
  return z.toJSONSchema(documentSchema, { io: "input" });
}
