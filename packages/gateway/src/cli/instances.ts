import type { Command } from "commander";
import { takesRequests, type StateName, type StateText } from "../control/health/instance-state.ts";
import type { Instance } from "../control/registry/instances.ts";
import {
  adminCommand,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { spanText, table, timeText, type Paint } from "./output.ts";

/** Adds `instances`. `exit` is given the exit code when the command is done. */
export function instancesCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  adminCommand(program, "instances", "show the instances of services, with their health", [
    "",
    "users",
    "users -o json",
  ])
    .argument("[service]", "one service")
    .action(async (service: string | undefined, flags: CommonFlags) =>
      exit(await runCommand(flags, io, (context) => instances(service, context))),
    );
}

interface Row extends Instance {
  readonly service: string;
}

async function instances(service: string | undefined, context: CommandContext): Promise<number> {
  const { client, print } = context;
  if (service === undefined) {
    const answer = await client.json({ path: "/v1/instances" });
    const found = answer.value as { readonly services: Readonly<Record<string, readonly Instance[]>> }; // the admin API's
    print(found, ({ services }) =>
      instanceTable(
        Object.entries(services).flatMap(([name, list]) => list.map((one) => ({ service: name, ...one }))),
        context,
      ),
    );
    return 0;
  }
  const answer = await client.json({ path: `/v1/instances/${encodeURIComponent(service)}` });
  const found = answer.value as { readonly instances: readonly Instance[] }; // what the admin API answers
  print(found, (list) =>
    instanceTable(
      list.instances.map((one) => ({ service, ...one })),
      context,
    ),
  );
  return 0;
}

const headings = [
  ...["SERVICE", "ADDRESS", "STATUS", "STATE", "FOR", "WEIGHT", "ZONE", "VERSION", "SOURCE"],
  ...["CPU", "MEMORY", "LATENCY", "WHY"],
];

function instanceTable(rows: readonly Row[], { paint, io }: CommandContext): string {
  if (rows.length === 0) return "There are no instances.\n";
  return table(
    headings,
    rows.map((row) => {
      const { service, address, status, weight, zone = "-", version = "-", source, leased, health, since } = row;
      const kind = source === "written" ? "configuration" : leased ? "leased" : source;
      const { cpuUsage, memoryUsage, requestLatencyMs } = metricsOf(health);
      return [
        service,
        address,
        status === "UP" ? status : paint.doubtful(status),
        paintState(row.state, paint),
        since === undefined ? "-" : spanText((io.clock.wall() - Date.parse(since)) / 1_000),
        String(weight),
        zone,
        version,
        kind,
        percent(cpuUsage),
        percent(memoryUsage),
        typeof requestLatencyMs === "number" ? `${Math.round(requestLatencyMs)} ms` : "-",
        whyText(row),
      ];
    }),
  );
}

/** A state in its colour: what takes requests, what will again, what does not. */
export function paintState(state: StateName, paint: Paint): string {
  if (state === "up") return paint.good(state);
  return takesRequests(state) || state === "draining" ? paint.doubtful(state) : paint.bad(state);
}

/** Why an instance is in its state, and until when if that is known. */
export function whyText({ reason = "", until }: Pick<StateText, "reason" | "until">): string {
  return until === undefined ? reason : `${reason}, until ${timeText(until).slice(11)}`;
}

/** Anybody may write a report. */
function metricsOf(health: unknown): Readonly<Record<string, unknown>> {
  const metrics: unknown = Object(health)["metrics"];
  return typeof metrics === "object" && metrics !== null ? { ...metrics } : {};
}

function percent(ratio: unknown): string {
  return typeof ratio === "number" ? `${Math.round(ratio * 100)}%` : "-";
}
