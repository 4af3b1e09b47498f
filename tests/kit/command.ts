import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import path from "node:path";
import { repositoryRoot, type Exit, type GatewayProcess } from "./gateway.ts";
import { within } from "./wait.ts";

const launcher = path.join(repositoryRoot, "packages/gateway/bin/headgate");

/** Compiled once for all commands that tests run: reading the sources anew costs each of them a second. */
export const compileCache = { NODE_COMPILE_CACHE: path.join(tmpdir(), "headgate-test-compile-cache") } as const;

/** What a command left behind. */
export interface CommandEnd extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** For standard input; without it that is empty. */
  readonly input?: string;
  /** Default: 60 s. */
  readonly deadlineMs?: number;
}

/** Runs the command line as users do, in a process of its own, to its end. */
export async function command(args: readonly string[], options: CommandOptions = {}): Promise<CommandEnd> {
  const { cwd, env = {}, input = "", deadlineMs = 60_000 } = options;
  const child = spawn(launcher, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...compileCache, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => void (said.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => void (said.stderr += text));
  // A command that does not read its input may be gone before it is written.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const exit = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  try {
    return { ...(await within(exit, `headgate ${args.join(" ")}`, deadlineMs)), ...said };
  } finally {
    child.kill("SIGKILL");
  }
}

/** Runs a command against a gateway, in its directory. */
export function ask(
  gateway: GatewayProcess,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandEnd> {
  const { adminPort, directory } = gateway;
  const env = { HEADGATE_ADMIN: `127.0.0.1:${adminPort}`, HEADGATE_DATA_DIR: path.join(directory, "data") };
  return command(args, { cwd: directory, ...options, env: { ...env, ...options.env } });
}
