import { Command, CommanderError } from "commander";
import type { CommandSurroundings } from "./admin-command.ts";
import { applyCommands } from "./apply.ts";
import { checkCommand } from "./check.ts";
import { explainCommand } from "./explain.ts";
import { exportCommand } from "./export.ts";
import { getCommand } from "./get.ts";
import { historyCommands } from "./history.ts";
import { circuitCommand } from "./circuit.ts";
import { instancesCommand } from "./instances.ts";
import { queueCommand } from "./queue.ts";
import { registerCommand } from "./register.ts";
import { UsageError, type StartFlags } from "./settings.ts";
import type { Surroundings } from "./start.ts";
import { statusCommand } from "./status.ts";
import { topCommand } from "./top.ts";
import { watchCommand } from "./watch.ts";
import { writeCommands } from "./write-resource.ts";

/** What the process gives to all commands. */
export type ProgramSurroundings = Surroundings & CommandSurroundings;

/**
 * Runs the command line. Resolves with the exit code: 0 done, 1 the answer is no, 2 usage, 3 the gateway could not be
 * reached.
 */
export async function runProgram(args: readonly string[], surroundings: ProgramSurroundings): Promise<number> {
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

function buildProgram(surroundings: ProgramSurroundings, exit: (code: number) => void): Command {
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
  explainCommand(program, surroundings, exit);
  applyCommands(program, surroundings, exit);
  exportCommand(program, surroundings, exit);
  getCommand(program, surroundings, exit);
  writeCommands(program, surroundings, exit);
  watchCommand(program, surroundings, exit);
  historyCommands(program, surroundings, exit);
  statusCommand(program, surroundings, exit);
  instancesCommand(program, surroundings, exit);
  circuitCommand(program, surroundings, exit);
  queueCommand(program, surroundings, exit);
  registerCommand(program, surroundings, exit);
  topCommand(program, surroundings, exit);
  return program;
}

function startCommand(program: Command, surroundings: Surroundings, exit: (code: number) => void): void {
  program
    .command("start")
    .description("run the gateway")
    .option("-c, --config <file>", "the document to serve; beside a store it is above that and read-only")
    .option("--listen <address>", "where clients connect, host:port; repeatable (default: 0.0.0.0:8080)", collect)
    .option("--admin <address>", "where the admin API listens (default: 127.0.0.1:9080)")
    .option(
      "--store <url>",
      "etcd://host:2379[,host:2379]/prefix/, etcds:// for TLS, or embedded: (the default without -c)",
    )
    .option(
      "--data-dir <dir>",
      "where the embedded store, the last good state and the admin token are (default: ./data)",
    )
    .option("--workers <n>", "worker threads, or auto for one per core; 0 for none (default: auto)")
    .option("--set <path=value>", "set anything of the document; repeatable", collect)
    .addHelpText(
      "after",
      `
Flags beat the document, the document beats HEADGATE_CONFIG, HEADGATE_LISTEN, HEADGATE_ADMIN, HEADGATE_STORE,
HEADGATE_DATA_DIR and HEADGATE_WORKERS.

Examples:
  $ headgate start
  $ headgate start --store etcd://127.0.0.1:2379/headgate/
  $ headgate start -c headgate.yaml --listen 127.0.0.1:8080 --set gateway.timeouts.drain=5s`,
    )
    .action(async (flags: StartFlags) => {
      // The gateway is most of the code there is: the other commands start in half the time without it.
      const { start } = await import("./start.ts");
      exit(await start(flags, surroundings));
    });
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
