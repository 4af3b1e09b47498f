import type { Command } from "commander";
import type { Clock } from "../core/clock.ts";
import {
  openAdmin,
  type AdminCall,
  type AdminClient,
  type AdminFlags,
  type AdminSurroundings,
} from "./admin-client.ts";
import { CommandError, problemText, RefusedError } from "./command-error.ts";
import { formatOf, paintFor, printable, written, type Format, type Paint } from "./output.ts";
import { parseDuration } from "@headgate/schema";
import { UsageError } from "./settings.ts";

/** What people look at, where standard output is a terminal. */
export interface Screen {
  readonly columns: () => number;
  readonly rows: () => number;
  /** Calls the listener with each key; returns how to stop. Absent where nobody can press one. */
  readonly keys?: (listener: (key: string) => void) => () => void;
}

/** What a command that talks to a gateway gets from the process it runs in. */
export interface CommandSurroundings extends AdminSurroundings {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly clock: Clock;
  /** Absent where standard output is no terminal. */
  readonly screen?: Screen;
  /** Who changes something, for the history: `user@host`. */
  readonly author: string;
  /** All of standard input. */
  readonly readStdin: () => Promise<string>;
  readonly onSignal: (signal: "SIGTERM" | "SIGINT", action: () => void) => void;
}

/** A command that runs, with its gateway. */
export interface CommandContext {
  readonly io: CommandSurroundings;
  readonly client: AdminClient;
  /** `undefined`: for people, as the command sees fit. */
  readonly format: Format | undefined;
  readonly paint: Paint;
  /** Prints an answer as it is for programs, else what `text` makes of it. */
  readonly print: <T>(answer: T, text: (answer: T) => string) => void;
}

export interface CommonFlags extends AdminFlags {
  readonly output?: string;
}

/** Adds a command with the flags that all commands have which talk to a gateway. `examples` are its arguments. */
export function adminCommand(
  program: Command,
  name: string,
  description: string,
  examples: readonly string[],
  output = "-o, --output <format>",
): Command {
  const shown = examples.map((example) => `  $ headgate ${name}${example === "" ? "" : ` ${example}`}`);
  return program
    .command(name)
    .description(description)
    .option(output, "table, json or yaml")
    .option("--admin <address>", "the gateway's admin address (default: $HEADGATE_ADMIN or 127.0.0.1:9080)")
    .option("--token <token>", "its admin token (default: $HEADGATE_ADMIN_TOKEN, or the file in --data-dir)")
    .option("--data-dir <dir>", "where the gateway keeps its admin token (default: $HEADGATE_DATA_DIR or ./data)")
    .addHelpText("after", `\nExample${shown.length > 1 ? "s" : ""}:\n${shown.join("\n")}`);
}

/**
 * Runs a command against its gateway. Resolves with the exit code; what goes wrong on the way was printed. Throws a
 * UsageError.
 */
export async function runCommand(
  flags: CommonFlags,
  io: CommandSurroundings,
  action: (context: CommandContext) => Promise<number>,
): Promise<number> {
  const format = formatOf(flags.output);
  const paint = paintFor(io.screen !== undefined, io.env);
  const print: CommandContext["print"] = (answer, text) => {
    io.stdout(format === "json" || format === "yaml" ? written(answer, format) : text(printable(answer)));
  };
  try {
    return await action({ io, client: openAdmin(flags, io), format, paint, print });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return fail(error, io, format);
  }
}

/** Says why a command failed, on standard error; for programs the gateway's answer too. Answers the exit code. */
function fail(error: CommandError, { stdout, stderr }: CommandSurroundings, format: Format | undefined): number {
  const { message, exitCode, answer } = error;
  const problems = error instanceof RefusedError && error.lines.length === 0 ? error.problems : [];
  for (const line of [...error.lines, ...problems.map((problem) => problemText(printable(problem)))])
    stderr(`${line}\n`);
  stderr(`headgate: ${message}\n`);
  if (answer !== undefined && (format === "json" || format === "yaml")) stdout(written(answer, format));
  return exitCode;
}

/** Flags of everything that changes something. */
export interface ChangeFlags {
  readonly dryRun?: boolean;
  readonly message?: string;
  readonly wait?: string;
}

/** Adds the flags of everything that changes something. */
export function changeFlags(command: Command): Command {
  return command
    .option("--dry-run", "say what would change and change nothing")
    .option("--message <text>", "why, for the history")
    .option("--wait <duration>", "wait so long for every gateway to run it, as in 10s; exit 1 if one does not");
}

/** How long the gateway waits for the others. Throws a UsageError. */
export function waitMsOf(wait: string | undefined): number {
  return wait === undefined ? 0 : durationMs("--wait", wait);
}

/** Throws a UsageError. */
export function durationMs(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new UsageError(`${flag} is "${text}": give a duration such as 10s or 1m.`);
  return ms;
}

/** Who asks, as a header: characters that a header cannot carry as bytes of UTF-8, which is what the gateway reads. */
export function authorHeader({ author }: Pick<CommandSurroundings, "author">): NonNullable<AdminCall["headers"]> {
  const name = author.replace(/\p{C}/gu, "").slice(0, 256);
  return { "x-headgate-author": Buffer.from(name, "utf8").toString("latin1") };
}
