import { stateNames } from "../../control/health/instance-state.ts";
import { kinds } from "../../control/layout.ts";

type JsonSchema = Readonly<Record<string, unknown>>;

const text = { type: "string" };
const whole = { type: "integer" };
const yes = { type: "boolean" };
const time = { type: "string", format: "date-time" };
const any = {};
const kind = { enum: kinds };

function list(items: JsonSchema): JsonSchema {
  return { type: "array", items };
}

/** A map whose keys are all there, but for those that end in `?`. */
function map(properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const entries = Object.entries(properties);
  return {
    type: "object",
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace(/\?$/, ""), schema])),
    required: entries.flatMap(([name]) => (name.endsWith("?") ? [] : [name])),
  };
}

function orNull(schema: JsonSchema): JsonSchema {
  return { anyOf: [schema, { type: "null" }] };
}

const problem = map({
  severity: { enum: ["error", "warning"] },
  path: { ...text, description: "`routes.users.timeout`; empty for what concerns the whole." },
  message: text,
  "hint?": text,
  "file?": text,
  "line?": whole,
  "column?": whole,
  "key?": { ...text, description: "`/headgate/routes/users`" },
  "revision?": whole,
});

const problems = list({ $ref: "#/components/schemas/Problem" });
const action = { enum: ["create", "update", "delete"] };

const waited = map({
  complete: { ...yes, description: "Every live gateway runs it." },
  nodes: list(map({ id: text, revision: whole, ok: yes, "reason?": text })),
  "reason?": text,
});

const node = map({
  id: text,
  self: { ...yes, description: "The gateway that answers." },
  version: text,
  addresses: list(text),
  admin: text,
  revision: { ...whole, description: "That of what it runs." },
  rejected: list(map({ kind: text, name: text, "key?": orNull(text), "revision?": orNull(whole), message: text })),
  source: { enum: ["live", "cache"] },
  startedAt: time,
});

const confirmation = map({ change: text, before: { ...time, description: "It takes itself back then." } });

/** An item of a list with `details`. */
export function itemSchema(value: JsonSchema): JsonSchema {
  return map({
    kind,
    name: text,
    source: { enum: ["store", "file"] },
    key: orNull(text),
    revision: orNull(whole),
    value,
    live: { ...yes, description: "Whether this version runs." },
    problems,
  });
}

const sources = ["dns", "consul", "nacos", "kubernetes"];

const stateProperties = {
  state: { enum: stateNames },
  "reason?": { ...text, description: "Why it is in that state." },
  "since?": time,
  "until?": { ...time, description: "When the state ends by itself." },
};

const instances = list(
  map({
    address: text,
    status: { enum: ["UP", "DOWN", "DRAINING"] },
    weight: whole,
    "zone?": text,
    "version?": text,
    leased: { ...yes, description: "It is gone when nobody keeps it alive." },
    "held?": { ...yes, description: "It vanished with most of its service, and is kept for now." },
    source: { enum: ["registry", "written", ...sources] },
    "health?": { ...any, description: "Its last report." },
    ...stateProperties,
  }),
);

const discoverySource = map({
  kind: { enum: sources },
  place: { ...text, description: "What is asked for where." },
  services: { ...list(text), description: "Those that use it." },
  state: { enum: ["live", "waiting", "failing"] },
  instances: { ...whole, description: "Instances that are known, from an earlier process if it is waiting." },
  "problem?": text,
});

const circuit = map({
  service: text,
  "instance?": { ...text, description: "Absent: the breaker of the service as a whole." },
  state: { enum: ["closed", "half-open", "open"] },
  "forced?": { enum: ["open", "closed"], description: "How an operator holds it." },
  "by?": { ...text, description: "Who holds it." },
  "reason?": { ...text, description: "Why it changed last." },
  "since?": time,
  "until?": { ...time, description: "When trials begin." },
});

const message = {
  id: text,
  state: { enum: ["waiting", "delivering", "dead"] },
  route: text,
  service: text,
  "method?": { ...text, description: "Absent where the message was sealed with another key." },
  "path?": text,
  "idempotencyKey?": text,
  bytes: whole,
  attempts: { ...whole, description: "Deliveries that failed." },
  firstAt: time,
  "nextAt?": { ...time, description: "Of the next delivery." },
  deadline: time,
  "diedAt?": time,
  "cause?": { enum: ["deadline", "refused", "unreadable"] },
  "lastError?": text,
};

const wholeMessage = map({
  ...message,
  headers: list({ type: "array", items: text, description: "Name and value." }),
  "body?": map({ "text?": text, "base64?": text, "truncated?": yes }),
  errors: list(map({ at: time, text })),
});

/** What the endpoints answer. */
export const results = {
  Problem: problem,
  Error: {
    ...map({ type: text, title: text, status: whole, detail: text, "code?": text, "problems?": problems }),
    description: "RFC 9457.",
  },
  ApplyResult: map({
    dryRun: yes,
    revision: whole,
    change: { ...orNull(text), description: "Null where nothing differs, and for a dry run." },
    transactions: whole,
    diff: list(map({ kind, name: text, action, changes: list(map({ path: text, "before?": any, "after?": any })) })),
    warnings: problems,
    unreachable: list(map({ route: text, alternative: whole, by: text })),
    "traffic?": { type: "object", description: "What recent traffic would notice; of dry runs." },
    "confirm?": confirmation,
    "waited?": waited,
  }),
  CheckResult: map({ valid: yes, problems }),
  ChangeList: map({
    changes: list(
      map({
        id: text,
        revision: whole,
        time,
        author: text,
        message: text,
        action: { enum: ["apply", "put", "delete", "rollback", "unconfirmed"] },
        writes: list(map({ kind, name: text, action, "before?": any, "after?": any })),
        "truncated?": yes,
        "partial?": yes,
        "of?": text,
      }),
    ),
  }),
  ConfirmResult: map({ change: text }),
  Circuit: circuit,
  CircuitList: map({ circuits: list(circuit) }),
  InstanceList: map({ instances }),
  InstanceMap: map({ services: { type: "object", additionalProperties: instances } }),
  InstanceResult: map({ service: text, address: text }),
  AnnounceResult: map({ ttl: { ...text, description: "It stays for so long." } }),
  Queue: map({
    stats: map({
      waiting: whole,
      delivering: whole,
      dead: whole,
      bytes: { ...whole, description: "Of those that wait or are being delivered." },
      deadBytes: whole,
      oldestAt: orNull(time),
      dropped: { ...whole, description: "Dead ones that were dropped for newer ones." },
    }),
    messages: list(map(message)),
    cursor: { ...orNull(text), description: "Of the next page; null: there is none." },
  }),
  Message: wholeMessage,
  Replayed: map({ replayed: whole }),
  Purged: map({ purged: whole }),
  Explanation: { type: "object" },
  Status: map({
    version: text,
    runtime: text,
    pid: whole,
    phase: { enum: ["starting", "serving", "draining"] },
    startedAt: time,
    uptimeSeconds: { type: "number" },
    revision: whole,
    liveSince: orNull(time),
    source: map({ kind: { enum: ["file", "store"] }, "path?": text, "store?": text }),
    configSource: { enum: ["live", "cache"] },
    configAgeSeconds: { type: "number" },
    "store?": map({
      kind: { enum: ["etcd", "embedded"] },
      url: text,
      connected: yes,
      reason: text,
      revision: whole,
      "listening?": text,
    }),
    node: { ...orNull(text), description: "This gateway's id on the store." },
    nodes: list(node),
    confirmations: list(confirmation),
    problems,
    health: map({
      instances: { ...whole, description: "Of all services." },
      up: { ...whole, description: "Those that are up, or starting." },
      notUp: list(map({ service: text, address: text, ...stateProperties })),
      "more?": { ...whole, description: "Not named one by one." },
    }),
    discovery: list(discoverySource),
    listening: list(text),
    admin: text,
    workers: list(map({ id: whole, state: text, revision: whole, restarts: whole, connections: whole })),
  }),
} as const satisfies Readonly<Record<string, JsonSchema>>;
