import { Command, CommanderError } from "commander";
import { checkCommand } from "./check.ts";
import { explainCommand } from "./explain.ts";
import { UsageError, type StartFlags } from "./settings.ts";
import { start, type Surroundings } from "./start.ts";

/** Commands of later versions: named, so that nobody looks for a spelling mistake. */
const laterCommands = [
  "apply",
  "delete",
  "diff",
  "export",
  "get",
  "history",
  "instances",
  "put",
  "register",
  "rollback",
  "status",
  "top",
  "watch",
] as const;

const insteadOf: Readonly<Record<string, string>> = {
  apply: "edit the document, it is watched",
  export: "ask the admin API: GET /v1/export",
  status: "ask the admin API: GET /v1/status",
};

/**
 * Runs the command line. Resolves with the exit code: 0 done, 1 the answer is no, 2 usage, 3 the gateway could not be
 * reached.
 */
export async function runProgram(args: readonly string[], surroundings: Surroundings): Promise<number> {
  let code = 0;
  const exit = (given: number): void => {
    code = given;
  };
  const program = buildProgram(surroundings, exit);
  try {
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    // Commander has written what there is to say; help and version end this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof UsageError)) throw error;
    surroundings.stderr(`headgate: ${error.message}\n`);
    return 2;
  }
}

function buildProgram(surroundings: Surroundings, exit: (code: number) => void): Command {
  const { stdout, stderr, env, cwd, version } = surroundings;
  const program = new Command("headgate")
    .description("An API gateway whose behaviour changes while it runs.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .configureOutput({ writeOut: stdout, writeErr: stderr })
    .showHelpAfterError("(add --help for help)")
    .exitOverride()
    .addHelpText("after", "\nExample:\n  $ headgate start -c headgate.yaml");
  startCommand(program, surroundings, exit);
  checkCommand(program, { stdout: { write: stdout }, stderr: { write: stderr }, env, cwd }, exit);
  explainCommand(program, { stdout, stderr, env }, exit);
  for (const name of laterCommands) laterCommand(program, name);
  return program;
}

function startCommand(program: Command, surroundings: Surroundings, exit: (code: number) => void): void {
  program
    .command("start")
    .description("run the gateway")
    .option("-c, --config <file>", "the document to serve (default: headgate.yaml, if it is here)")
    .option("--listen <address>", "where clients connect, host:port; repeatable (default: 0.0.0.0:8080)", collect)
    .option("--admin <address>", "where the admin API listens (default: 127.0.0.1:9080)")
    .option("--store <url>", "not available in this version")
    .option("--data-dir <dir>", "where the admin token and caches are kept (default: ./data)")
    .option("--workers <n>", "worker threads, or auto for one per core; 0 for none (default: auto)")
    .option("--set <path=value>", "set anything of the document; repeatable", collect)
    .addHelpText(
      "after",
      `
Flags beat the document, the document beats HEADGATE_CONFIG, HEADGATE_LISTEN, HEADGATE_ADMIN, HEADGATE_DATA_DIR and
HEADGATE_WORKERS.

Example:
  $ headgate start -c headgate.yaml --listen 127.0.0.1:8080 --set gateway.timeouts.drain=5s`,
    )
    .action(async (flags: StartFlags) => exit(await start(flags, surroundings)));
}

function laterCommand(program: Command, name: (typeof laterCommands)[number]): void {
  program
    .command(name, { hidden: true })
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(() => {
      const instead = insteadOf[name];
      throw new UsageError(`"${name}" is not available in this version${instead === undefined ? "" : `; ${instead}`}.`);
    });
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
