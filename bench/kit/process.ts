import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { descendants, residentBytes, cpuMicroseconds } from "./proc.ts";

/** A server or client process under measurement. Ended by `stop`, and by the end of the benchmark whatever that is. */
export interface Running extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Where it serves; 0 for a process that does not. */
  readonly port: number;
  /** The process and what it forked, nginx's worker for one. */
  pids(): number[];
  /** User and system time of all of them and all their threads so far. */
  cpuUs(): number;
  residentBytes(): number;
  /** Resolves with the first line of its output for which `wanted` returns something. */
  line<T>(wanted: (line: string) => T | undefined): Promise<T>;
  stop(): Promise<void>;
}

export interface Launch {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly port?: number;
  /** Path that answers once the process is ready; absent: ready as soon as it runs. */
  readonly ready?: {
    readonly port: number;
    readonly path: string;
    /** Between two questions; the default is 50 ms. */
    readonly everyMs?: number;
    /** For how long it is waited; the default is 30 s. */
    readonly timeoutMs?: number;
  };
  readonly cwd?: string;
  /** Added to this process' environment. */
  readonly env?: Readonly<Record<string, string>>;
}

const readyTimeoutMs = 30_000;
const stopTimeoutMs = 5_000;
const keptOutputChars = 4_000;
const live = new Set<ChildProcess>();

process.once("exit", () => {
  for (const child of live) {
    if (child.pid === undefined) continue;
    for (const pid of [...descendants(child.pid), child.pid]) killQuietly(pid, "SIGKILL");
  }
});

/** Starts a process with as many open files as the machine allows, up to 65,536, and waits until it serves. */
export async function launch(options: Launch): Promise<Running> {
  // node cannot raise its own limit; `exec` keeps the pid that is measured and signalled.
  const raise = 'ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"';
  const child = spawn("/bin/sh", ["-c", raise, "sh", ...options.command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  live.add(child);
  child.once("exit", () => live.delete(child));
  const output = keepOutput(child);
  await once(child, "spawn");
  const { pid } = child;
  if (pid === undefined) throw new Error(`${options.name} did not start`);
  const running: Running = {
    name: options.name,
    pid,
    port: options.port ?? 0,
    pids: () => [pid, ...descendants(pid)],
    cpuUs: () => running.pids().reduce((sum, each) => sum + cpuMicroseconds(each), 0),
    residentBytes: () => running.pids().reduce((sum, each) => sum + residentBytes(each), 0),
    line: (wanted) => output.line(wanted),
    stop: () => stop(child),
    [Symbol.asyncDispose]: () => stop(child),
  };
  try {
    if (options.ready !== undefined) await waitUntilReady(child, options.ready);
  } catch (error) {
    await stop(child);
    throw new Error(`${options.name} did not get ready: ${output.tail().trim() || String(error)}`, { cause: error });
  }
  return running;
}

/** A TCP port of 127.0.0.1 that nothing listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no TCP port is free");
  return address.port;
}

async function waitUntilReady(child: ChildProcess, ready: NonNullable<Launch["ready"]>): Promise<void> {
  const timeoutMs = ready.timeoutMs ?? readyTimeoutMs;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("it exited");
    try {
      const response = await fetch(`http://127.0.0.1:${ready.port}${ready.path}`);
      await response.arrayBuffer();
      if (response.ok) return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    if (performance.now() > deadline) throw new Error(`${ready.path} was not answered in ${timeoutMs} ms`);
    await pause(ready.everyMs ?? 50);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const forked = descendants(child.pid);
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const late = new AbortController();
  const timeout = pause(stopTimeoutMs, "late", { signal: late.signal }).catch(() => "stopped");
  if ((await Promise.race([gone, timeout])) === "late") {
    for (const pid of [...forked, child.pid]) killQuietly(pid, "SIGKILL");
    await gone;
  }
  late.abort();
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already, which is what was wanted.
  }
}

interface Output {
  tail(): string;
  line<T>(wanted: (line: string) => T | undefined): Promise<T>;
}

function keepOutput(child: ChildProcess): Output {
  let kept = "";
  const listeners = new Set<() => void>();
  const take = (chunk: Buffer): void => {
    kept = (kept + chunk.toString()).slice(-keptOutputChars);
    for (const listener of listeners) listener();
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  const find = <T>(wanted: (line: string) => T | undefined): T | undefined => {
    for (const line of kept.split("\n").slice(0, -1)) {
      const found = wanted(line);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return {
    tail: () => kept,
    line: <T>(wanted: (line: string) => T | undefined) =>
      new Promise<T>((resolve, reject) => {
        const look = (): void => {
          const found = find(wanted);
          if (found === undefined) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        child.once("exit", () => reject(new Error(`it exited: ${kept.trim()}`)));
        look();
      }),
  };
}
