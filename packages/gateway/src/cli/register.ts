import type { Command } from "commander";
import {
  adminCommand,
  durationMs,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { CommandError, RefusedError } from "./command-error.ts";
import { printable } from "./output.ts";
import { pause } from "./pause.ts";
import { UsageError } from "./settings.ts";

interface RegisterFlags extends CommonFlags {
  readonly ttl: string;
  readonly weight?: string;
  readonly zone?: string;
}

/** Gateways learn within this time that an instance drains. */
const drainMs = 1_000;
/** A gateway that is away is asked again after this time, or sooner where the lease is short. */
const retryMsMax = 1_000;

/** Adds `register`. `exit` is given the exit code when the command is done. */
export function registerCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  const example = "users 10.0.0.5:3001 --ttl 10s --zone a";
  adminCommand(program, "register", "keep an instance of a service registered until interrupted", [example])
    .argument("<service>", "the service's name")
    .argument("<address>", "where gateways reach the instance, host:port")
    .option("--ttl <duration>", "how long it stays when nobody keeps it alive, 2s to 1h", "10s")
    .option("--weight <n>", "share of the service's requests (default: 1)")
    .option("--zone <zone>", "where it runs")
    .action(async (service: string, address: string, flags: RegisterFlags) => {
      const registration = registrationOf(service, address, flags);
      exit(await runCommand(flags, io, (context) => register(registration, context)));
    });
}

interface Registration {
  /** `users/10.0.0.5:3001` */
  readonly name: string;
  readonly path: string;
  readonly ttlMs: number;
  readonly body: object;
}

/** Throws a UsageError. */
function registrationOf(service: string, address: string, { ttl, weight, zone }: RegisterFlags): Registration {
  const ttlMs = durationMs("--ttl", ttl);
  if (weight !== undefined && !/^\d{1,7}$/.test(weight)) {
    throw new UsageError(`--weight is "${weight}": give a whole number, 0 to 1000000.`);
  }
  return {
    name: `${service}/${address}`,
    path: `/v1/instances/${encodeURIComponent(service)}/${encodeURIComponent(address)}`,
    ttlMs,
    body: {
      ttl,
      ...(weight === undefined ? {} : { weight: Number(weight) }),
      ...(zone === undefined ? {} : { zone }),
    },
  };
}

/**
 * 0 when it is interrupted, after the instance was taken away. Rejects with a CommandError where the gateway refuses; one
 * that is away is asked again.
 */
async function register(registration: Registration, context: CommandContext): Promise<number> {
  const { io } = context;
  const { name, ttlMs } = registration;
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) io.onSignal(signal, () => stop.abort());
  let state: "new" | "registered" | "away" = "new";
  while (!stop.signal.aborted) {
    const reason = await announce(registration, context, "UP");
    if (reason === undefined) {
      if (state !== "registered") io.stderr(`${printable(name)} is registered${state === "away" ? " again" : ""}.\n`);
      state = "registered";
    } else {
      if (state !== "away") io.stderr(`${printable(reason)} It is tried again until it answers.\n`);
      state = "away";
    }
    const delayMs = ttlMs / 3;
    await pause(io.timers, reason === undefined ? delayMs : Math.min(delayMs, retryMsMax), stop.signal);
  }
  await end(registration, context);
  return 0;
}

/** Why the gateway cannot say now; undefined: it is announced. Rejects with a CommandError for what stays refused. */
async function announce(
  { path, body }: Registration,
  { client }: CommandContext,
  status: "UP" | "DRAINING",
): Promise<string | undefined> {
  try {
    await client.call({ method: "PUT", path, body: { ...body, status } });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError) || (error instanceof RefusedError && error.status < 500)) throw error;
    return error.message;
  }
}

/** Takes the instance out of service first, then away. What fails is left to the lease. */
async function end(registration: Registration, context: CommandContext): Promise<void> {
  const { io, client } = context;
  try {
    const reason = await announce(registration, context, "DRAINING");
    if (reason === undefined) {
      await pause(io.timers, drainMs, new AbortController().signal);
      await client.call({ method: "DELETE", path: registration.path });
      io.stderr(`${printable(registration.name)} is taken away.\n`);
      return;
    }
    io.stderr(`${printable(reason)} The instance ends with its lease.\n`);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    io.stderr(`${printable(error.message)}\n`);
  }
}
