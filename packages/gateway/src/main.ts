import { readFileSync } from "node:fs";
import { availableParallelism, hostname, userInfo } from "node:os";
import type { Screen } from "./cli/admin-command.ts";
import { runProgram, type ProgramSurroundings } from "./cli/program.ts";
import { systemClock } from "./core/clock.ts";
import { systemTimers } from "./core/timers.ts";

/** The process: what the command line runs in. */
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";

const surroundings: ProgramSurroundings = {
  env: process.env,
  cwd: process.cwd(),
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  terminal: process.stderr.isTTY,
  version: packageVersion(),
  process: {
    node: process.version,
    pid: process.pid,
    startedSeconds: Math.floor(Date.now() / 1_000 - process.uptime()),
    cpuSeconds: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    residentBytes: () => process.memoryUsage.rss(),
  },
  cores: availableParallelism(),
  workerEntry: new URL(`./worker.${extension}`, import.meta.url),
  clock: systemClock,
  timers: systemTimers,
  onSignal: (signal, action) => void process.on(signal, action),
  exit: (code) => process.exit(code),
  kill: () => process.kill(process.pid, "SIGKILL"),
  ...(process.stdout.isTTY ? { screen: screenOf(process.stdout) } : {}),
  author: `${userName()}@${hostname()}`,
  readStdin: async () => {
    const pieces: Buffer[] = [];
    for await (const piece of process.stdin) pieces.push(piece as Buffer); // no encoding is set
    return Buffer.concat(pieces).toString("utf8");
  },
};

// A reader that went away (`headgate check | head`) is no reason for a stack trace. What would write for ever, as `watch`
// does, ends as if it was interrupted; a gateway serves on, whoever reads its logs.
process.stdout.on("error", () => void (process.argv[2] !== "start" && process.emit("SIGINT")));
process.stderr.on("error", () => {});

const code = await runProgram(process.argv.slice(2), surroundings);
// What was written to a pipe is on its way until its callback comes; exiting at once would cut it off.
process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));

function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version; // our own manifest
}

function screenOf(terminal: typeof process.stdout): Screen {
  const size = { columns: () => terminal.columns, rows: () => terminal.rows };
  const { stdin } = process;
  if (!stdin.isTTY) return size;
  return {
    ...size,
    keys: (listener) => {
      const hear = (bytes: Buffer): void => listener(bytes.toString("latin1"));
      stdin.setRawMode(true).on("data", hear).resume();
      return () => void stdin.setRawMode(false).off("data", hear).pause();
    },
  };
}

/** A user without a name in the system's list has none. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env["USER"] ?? String(process.getuid?.() ?? "unknown");
  }
}
