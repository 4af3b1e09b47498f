import type { Command } from "commander";
import type { HealthOverview } from "../control/health/overview.ts";
import type { StoreStatus } from "../control/store-status.ts";
import type { SourceStatus } from "../control/registry/sources.ts";
import type { ReportedProblem } from "../control/report.ts";
import {
  adminCommand,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { problemText } from "./command-error.ts";
import { paintState, whyText } from "./instances.ts";
import { grouped, spanText, table, timeText, type Paint } from "./output.ts";

/** What the admin API answers to `GET /v1/status`. */
export interface StatusAnswer {
  readonly version: string;
  readonly runtime: string;
  readonly pid: number;
  readonly phase: "starting" | "serving" | "draining";
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly revision: number;
  readonly liveSince: string | null;
  readonly source: { readonly kind: "file" | "store"; readonly path?: string; readonly store?: string };
  readonly configSource: "live" | "cache";
  readonly configAgeSeconds: number;
  readonly store?: Pick<StoreStatus, "kind" | "url" | "connected" | "reason" | "revision">;
  readonly node: string | null;
  readonly nodes: StoreStatus["nodes"];
  readonly confirmations: StoreStatus["confirmations"];
  readonly problems: readonly ReportedProblem[];
  readonly health: HealthOverview;
  readonly discovery: readonly SourceStatus[];
  readonly listening: readonly string[];
  readonly admin: string;
  readonly workers: readonly { readonly state: string; readonly restarts: number }[];
}

/** Adds `status`. `exit` is given the exit code when the command is done. */
export function statusCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  adminCommand(program, "status", "say what runs, on which gateways, and what was rejected", ["", "-o json"]).action(
    async (flags: CommonFlags) => exit(await runCommand(flags, io, status)),
  );
}

/** 0, whatever the status is. */
async function status({ client, print, paint }: CommandContext): Promise<number> {
  const answer = (await client.json({ path: "/v1/status" })).value as StatusAnswer; // what the admin API answers
  print(answer, (shown) => statusText(shown, paint));
  return 0;
}

function statusText(answer: StatusAnswer, paint: Paint): string {
  const { nodes, confirmations, health } = answer;
  const problems = problemLines(answer);
  const parts = [
    gatewayText(answer, paint),
    ...(nodes.length === 0 ? [] : [nodeTable(nodes, paint)]),
    ...(health.notUp.length === 0 ? [] : [notUpTable(health, paint)]),
    ...(problems.length === 0
      ? []
      : [`Problems:\n${problems.map((line) => `  ${paint.bad(line.replaceAll("\n", "\n  "))}\n`).join("")}`]),
    ...(confirmations.length === 0
      ? []
      : [
          confirmations
            .map(
              ({ change, before }) =>
                paint.doubtful(
                  `Change ${change} takes itself back at ${timeText(before)} unless you keep it: headgate confirm ${change}`,
                ) + "\n",
            )
            .join(""),
        ]),
  ];
  return parts.join("\n");
}

function gatewayText(answer: StatusAnswer, paint: Paint): string {
  const { version, runtime, pid, phase, uptimeSeconds, revision, configSource, configAgeSeconds, listening, admin } =
    answer;
  const state = phase === "serving" ? paint.good(phase) : paint.doubtful(phase);
  const age = spanText(configAgeSeconds);
  const cached = paint.doubtful(`as it was saved ${age} ago: the store has not answered since the start`);
  const facts = [
    ["listens on", listening.join(", ")],
    ["admin", admin],
    ["source", sourceText(answer, paint)],
    ["revision", revision === 0 ? "none yet" : `${revision}, ${configSource === "cache" ? cached : `live for ${age}`}`],
    ["workers", workerText(answer.workers)],
    ["instances", instanceCounts(answer.health, paint)],
  ];
  const id = answer.node === null ? "" : ` ${answer.node}`;
  const first = `Gateway${id}: ${state} for ${spanText(uptimeSeconds)} (Headgate ${version}, Node ${runtime}, pid ${pid})`;
  return `${first}\n${facts.map(([name = "", fact = ""]) => `  ${name.padEnd(10)}  ${fact}\n`).join("")}`;
}

function sourceText({ source, store }: StatusAnswer, paint: Paint): string {
  if (store === undefined) return source.path ?? "a file";
  const { url, connected, reason } = store;
  const state = connected ? paint.good("connected") : paint.bad(`not connected: ${reason}`);
  const above = source.path === undefined ? "" : `${source.path} above `;
  return `${above}${url} (${state})`;
}

function workerText(workers: StatusAnswer["workers"]): string {
  const states = Map.groupBy(workers, ({ state }) => state);
  const counts = [...states].map(([state, group]) => `${group.length} ${state}`);
  const restarts = workers.reduce((sum, worker) => sum + worker.restarts, 0);
  return [...counts, ...(restarts === 0 ? [] : [`${restarts} replaced`])].join(", ");
}

function instanceCounts({ instances, up }: HealthOverview, paint: Paint): string {
  return up === instances
    ? `${grouped(instances)}, all up`
    : `${grouped(instances)}, ${paint.bad(`${grouped(up)} up`)}`;
}

/** The instances that are not up, and why. */
export function notUpTable({ notUp, more = 0 }: HealthOverview, paint: Paint): string {
  const rows = notUp.map((one) => [one.service, one.address, paintState(one.state, paint), whyText(one)]);
  const rest = more === 0 ? "" : `and ${grouped(more)} more: headgate instances\n`;
  return `${table(["SERVICE", "NOT UP", "STATE", "WHY"], rows)}${rest}`;
}

/** The gateways on a store, the one that answers first. */
export function nodeTable(nodes: StatusAnswer["nodes"], paint: Paint): string {
  const newest = nodes.reduce((most, { revision }) => Math.max(most, revision), 0);
  const rows = nodes
    .toSorted((a, b) => Number(b.self) - Number(a.self) || (a.id < b.id ? -1 : 1))
    .map(({ id, self, version, addresses, admin, revision, rejected, source }) => [
      self ? paint.strong(id) : id,
      revision === newest ? String(revision) : paint.doubtful(String(revision)),
      source === "live" ? source : paint.doubtful(source),
      rejected.length === 0 ? "0" : paint.bad(String(rejected.length)),
      version,
      admin,
      addresses.join(", "),
    ]);
  return table(["GATEWAY", "REVISION", "SOURCE", "REJECTED", "VERSION", "ADMIN", "LISTENS ON"], rows);
}

/** What is wrong here, and what other gateways reject. */
export function problemLines({ problems, nodes }: Pick<StatusAnswer, "problems" | "nodes">): readonly string[] {
  const others = nodes.filter(({ self }) => !self);
  return [
    ...problems.map(problemText),
    ...others.flatMap(({ id, rejected }) =>
      rejected.map(
        ({ kind, name, revision, message }) =>
          `${id} rejects ${kind}/${name}${revision === null ? "" : ` (revision ${revision})`}: ${message}`,
      ),
    ),
  ];
}
