import { resolve as resolvePath } from "node:path";
import { DocumentReader } from "../control/read-document.ts";
import type { ReadDocument } from "../control/replicate-file.ts";
import { PluginBuilder } from "../control/plugins.ts";
import { describeProblem } from "../control/report.ts";
import type { Clock } from "../core/clock.ts";
import type { Timers } from "../core/timers.ts";
import { middlewares } from "../middlewares/index.ts";
import { openJsonLog, openTerminalLog, type ApplicationLog } from "../telemetry/log.ts";
import type { ProcessFacts } from "../telemetry/process.ts";
import { createGateway, type RunningGateway } from "./run-gateway.ts";
import { configFile, settingsOfEnvironment, settingsOfFlags, storeByDefault, type StartFlags } from "./settings.ts";

export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP";

/** What a command gets from the process it runs in. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Whether people read stderr. */
  readonly terminal: boolean;
  readonly version: string;
  readonly process: ProcessFacts;
  readonly cores: number;
  readonly workerEntry: URL;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly onSignal: (signal: Signal, action: () => void) => void;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
  /** Ends the process at once, whatever its threads do. */
  readonly kill: () => void;
}

/**
 * `headgate start`: runs the gateway until SIGTERM or SIGINT, which drain it; a second one ends it at once. SIGHUP reads
 * the document again and reopens the logs. Resolves with the exit code: 0 drained, 1 it could not start, 2 a flag or
 * variable is not valid. Throws a UsageError for flags that cannot be.
 */
export async function start(flags: StartFlags, surroundings: Surroundings): Promise<number> {
  const { env, cwd, stderr, clock, timers, terminal } = surroundings;
  const named = configFile(flags, env);
  const file = named === undefined ? undefined : resolvePath(cwd, named);
  const settings = settingsOfFlags(flags);
  const defaults = settingsOfEnvironment(env);
  // Without a document and a store there would be nothing to serve: the store in this process is.
  const storeNamed = [...settings, ...defaults].some(({ path }) => path.slice(0, 2).join(".") === "gateway.store");
  if (file === undefined && !storeNamed) defaults.push(storeByDefault);
  const plugins = new PluginBuilder({ timers });
  const reader = new DocumentReader({
    ...(file === undefined ? {} : { file }),
    env,
    settings,
    defaults,
    table: middlewares,
    timers,
    plugins,
  });
  const seenMs = clock.now();
  const first = await reader.read();
  if (!isValid(first)) {
    return refuse(named ?? "The settings", first.problems, stderr);
  }
  const log = terminal ? openTerminalLog(stderr, clock, !env["NO_COLOR"]) : openJsonLog();
  const { version, process, cores, workerEntry } = surroundings;
  // Heard from now on: an interrupt while it starts must not leave it half started.
  const ending = new Promise<"ended">((resolve) =>
    listenForEnd(
      surroundings,
      () => resolve("ended"),
      () => log.flush(),
    ),
  );
  let gateway: RunningGateway | undefined;
  try {
    const common = {
      reader,
      first,
      seenMs,
      plugins,
      table: middlewares,
      env,
      cwd,
      version,
      process,
      cores,
      workerEntry,
    };
    gateway = await createGateway({ ...common, ...(file === undefined ? {} : { file }), clock, timers, log });
    if ((await Promise.race([gateway.start(), ending])) === "ended") {
      log.info({}, "ends before it served anything");
      await gateway.stop();
      log.flush();
      return 0;
    }
  } catch (error) {
    log.error({}, `could not start: ${error instanceof Error ? error.message : String(error)}`);
    await gateway?.stop();
    log.flush();
    return 1;
  }
  return serve(gateway, ending, surroundings, log);
}

async function serve(
  gateway: RunningGateway,
  ending: Promise<unknown>,
  surroundings: Surroundings,
  log: ApplicationLog,
): Promise<number> {
  announce(gateway, surroundings, log);
  surroundings.onSignal("SIGHUP", () => {
    log.info({}, "reads the document again and reopens its logs");
    gateway.reopenLogs();
    gateway.reload();
  });
  await ending;
  log.info({}, "finishes what is in flight and ends");
  const gone = await gateway.drain();
  if (!gone) log.error({}, "a worker thread does not end; the process is killed, or it would wait for it for ever");
  log.flush();
  if (!gone) surroundings.kill();
  return 0;
}

/** Says what is wrong, and whether it is the document (1) or only what this command was called with (2). */
function refuse(named: string, problems: ReadDocument["problems"], stderr: (text: string) => void): number {
  for (const problem of problems) stderr(`${describeProblem(problem)}\n`);
  const errors = problems.filter(({ severity }) => severity === "error");
  if (errors.length > 0 && errors.every(({ file = "" }) => /^(--|HEADGATE_)/.test(file))) {
    stderr("Nothing was started; correct the flag or variable and start again.\n");
    return 2;
  }
  stderr(`${named} is not valid, so nothing was started; correct it and start again.\n`);
  return 1;
}

function isValid(document: ReadDocument): document is ReadDocument & { value: NonNullable<ReadDocument["value"]> } {
  return document.value !== undefined;
}

function listenForEnd({ onSignal, exit }: Surroundings, end: () => void, flush: () => void): void {
  let asked = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    onSignal(signal, () => {
      if (asked) {
        flush();
        exit(1);
      }
      asked = true;
      end();
    });
  }
}

function announce(
  { addresses, admin, workers, source }: RunningGateway,
  { terminal, stderr, version }: Surroundings,
  log: { info(fields: object, message: string): void },
): void {
  const listening = addresses.map(({ address }) => address);
  if (!terminal) {
    log.info({ version, source, listening, admin, workers }, `listens on ${listening.join(", ")}`);
    return;
  }
  const threads = workers === 0 ? "no worker threads" : `${workers} worker${workers === 1 ? "" : "s"}`;
  const lines = [
    `Headgate ${version} serves ${source} with ${threads}`,
    ...listening.map((address) => `  listens on  http://${address}`),
    `  admin       http://${admin}`,
  ];
  stderr(`${lines.join("\n")}\n`);
}
