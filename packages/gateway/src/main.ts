import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { runProgram } from "./cli/program.ts";
import type { Surroundings } from "./cli/start.ts";
import { systemClock } from "./core/clock.ts";
import { systemTimers } from "./core/timers.ts";

/** The process: what the command line runs in. */
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";

const surroundings: Surroundings = {
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
};

// A reader that went away (`headgate check | head`) is no reason for a stack trace.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const code = await runProgram(process.argv.slice(2), surroundings);
// What was written to a pipe is on its way until its callback comes; exiting at once would cut it off.
process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));

function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version; // our own manifest
}
