import type { Command } from "commander";
import type { Instance } from "../control/registry/instances.ts";
import {
  adminCommand,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { table, type Paint } from "./output.ts";

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

async function instances(service: string | undefined, { client, print, paint }: CommandContext): Promise<number> {
  if (service === undefined) {
    const answer = await client.json({ path: "/v1/instances" });
    const found = answer.value as { readonly services: Readonly<Record<string, readonly Instance[]>> }; // the admin API's
    print(found, ({ services }) =>
      instanceTable(
        Object.entries(services).flatMap(([name, list]) => list.map((one) => ({ service: name, ...one }))),
        paint,
      ),
    );
    return 0;
  }
  const answer = await client.json({ path: `/v1/instances/${encodeURIComponent(service)}` });
  const found = answer.value as { readonly instances: readonly Instance[] }; // what the admin API answers
  print(found, (list) =>
    instanceTable(
      list.instances.map((one) => ({ service, ...one })),
      paint,
    ),
  );
  return 0;
}

function instanceTable(rows: readonly Row[], paint: Paint): string {
  if (rows.length === 0) return "There are no instances.\n";
  const headings = ["SERVICE", "ADDRESS", "STATUS", "WEIGHT", "ZONE", "VERSION", "SOURCE", "CPU", "MEMORY", "LATENCY"];
  return table(
    headings,
    rows.map((row) => {
      const { service, address, weight, zone = "-", version = "-", source, leased, health } = row;
      const kind = source === "written" ? "configuration" : leased ? "leased" : source;
      const { cpuUsage, memoryUsage, requestLatencyMs } = metricsOf(health);
      return [
        service,
        address,
        statusText(row, paint),
        String(weight),
        zone,
        version,
        kind,
        percent(cpuUsage),
        percent(memoryUsage),
        typeof requestLatencyMs === "number" ? `${Math.round(requestLatencyMs)} ms` : "-",
      ];
    }),
  );
}

function statusText({ status, held }: Instance, paint: Paint): string {
  if (held === true) return paint.doubtful(`${status}, vanished`);
  return status === "UP" ? paint.good(status) : paint.doubtful(status);
}

/** Anybody may write a report. */
function metricsOf(health: unknown): Readonly<Record<string, unknown>> {
  const metrics: unknown = Object(health)["metrics"];
  return typeof metrics === "object" && metrics !== null ? { ...metrics } : {};
}

function percent(ratio: unknown): string {
  return typeof ratio === "number" ? `${Math.round(ratio * 100)}%` : "-";
}
