import type { Command } from "commander";
import type { CircuitOrder, CircuitText } from "../control/health/circuits.ts";
import {
  adminCommand,
  authorHeader,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { whyText } from "./instances.ts";
import { spanText, table, type Paint } from "./output.ts";
import { UsageError } from "./settings.ts";

/** Adds `circuit`. `exit` is given the exit code when the command is done. */
export function circuitCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  adminCommand(program, "circuit", "show circuit breakers, hold them open or closed, or let them go", [
    "",
    "users",
    "users 10.0.0.5:3001 open",
    "users 10.0.0.5:3001 auto",
    "users closed",
  ])
    .argument("[service]", "one service")
    .argument("[address]", "the breaker of this instance; without it that of the service as a whole")
    .argument("[state]", "open lets nothing through, closed lets all through, auto lets go")
    .action(async (service: string | undefined, address: string | undefined, state: string | undefined, flags) =>
      exit(
        await runCommand(flags as CommonFlags, io, (context) =>
          circuit(readArguments(service, address, state), context),
        ),
      ),
    );
}

interface CircuitArguments {
  readonly service?: string;
  readonly address?: string;
  readonly order?: CircuitOrder;
}

/** `SERVICE STATE` and `SERVICE ADDRESS STATE`: an address has a port, a state has none. Throws a UsageError. */
function readArguments(
  service: string | undefined,
  second: string | undefined,
  third: string | undefined,
): CircuitArguments {
  if (service === undefined) return {};
  if (second === undefined) return { service };
  if (third === undefined && !second.includes(":")) return { service, order: orderOf(second) };
  if (!second.includes(":")) throw new UsageError(`"${second}" is no address: give host:port, as in 10.0.0.5:3001.`);
  if (third === undefined) throw new UsageError(`Say what becomes of ${second}: open, closed or auto.`);
  return { service, address: second, order: orderOf(third) };
}

function orderOf(text: string): CircuitOrder {
  if (text === "open" || text === "closed" || text === "auto") return text;
  throw new UsageError(`"${text}" is no state of a circuit breaker: give open, closed or auto.`);
}

async function circuit({ service, address, order }: CircuitArguments, context: CommandContext): Promise<number> {
  const { client, print, io } = context;
  const path = ["/v1/circuits", service, address]
    .flatMap((part, index) => (part === undefined ? [] : index === 0 ? part : encodeURIComponent(part)))
    .join("/");
  if (order === undefined) {
    const { value } = await client.json({ path });
    print(value as { readonly circuits: readonly CircuitText[] }, ({ circuits }) => circuitTable(circuits, context)); // the admin API's
    return 0;
  }
  const { value } = await client.json({ method: "PUT", path, body: { state: order }, headers: authorHeader(io) });
  print(value as CircuitText, (shown) => circuitTable([shown], context)); // what the admin API answers
  return 0;
}

function circuitTable(rows: readonly CircuitText[], { paint, io }: CommandContext): string {
  if (rows.length === 0) return "There are no circuit breakers: no service has circuitBreaker, and none is held.\n";
  return table(
    ["SERVICE", "INSTANCE", "STATE", "FOR", "HELD BY", "WHY"],
    rows.map((row) => [
      row.service,
      row.instance ?? "(all)",
      stateText(row, paint),
      row.since === undefined ? "-" : spanText((io.clock.wall() - Date.parse(row.since)) / 1_000),
      row.by ?? "-",
      whyText(row),
    ]),
  );
}

function stateText({ state, forced }: CircuitText, paint: Paint): string {
  const colours = { closed: paint.good, "half-open": paint.doubtful, open: paint.bad };
  return `${colours[state](state)}${forced === undefined ? "" : ", held"}`;
}
