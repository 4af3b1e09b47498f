import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.ts";
import type { Scope } from "./scope.ts";
import { waitFor } from "./wait.ts";

const serverPath = "/usr/bin/redis-server";

/** Why tests that need a real Redis cannot run here; undefined where they can. */
export const redisMissing: string | undefined = existsSync(serverPath)
  ? undefined
  : 'Redis is missing: install the Debian package "redis-server"';

/** A real Redis in a process of its own, with its data in a temporary directory, every write on the disk before its answer. */
export interface Redis {
  readonly port: number;
  /** `redis://127.0.0.1:port` */
  readonly url: string;
  readonly pid: number;
  /** SIGSTOP: connections stay open and nothing answers. */
  stop(): void;
  /** SIGCONT. */
  cont(): void;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again where it was killed, with its data, and waits until it answers. */
  restart(): Promise<void>;
  /** One command of words; its answer as it stands on the wire. */
  command(...words: readonly string[]): Promise<string>;
}

/** Starts a Redis and waits until it answers. `args`: more of the command line. */
export async function startRedis(scope: Scope, args: readonly string[] = []): Promise<Redis> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-redis-"));
  const server = new RedisProcess(directory, await freePort(), args);
  scope.after(async () => {
    await server.kill();
    rmSync(directory, { recursive: true, force: true });
  });
  await server.restart();
  return server;
}

class RedisProcess implements Redis {
  readonly port: number;
  readonly url: string;
  readonly #directory: string;
  readonly #args: readonly string[];
  #process: ChildProcess | undefined;

  constructor(directory: string, port: number, args: readonly string[]) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#directory = directory;
    this.#args = args;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error("Redis does not run");
    return pid;
  }

  stop(): void {
    process.kill(this.pid, "SIGSTOP");
  }

  cont(): void {
    process.kill(this.pid, "SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async restart(): Promise<void> {
    await this.kill();
    const durable = [
      "--appendonly",
      "yes",
      "--appendfsync",
      "always",
      "--save",
      "",
      "--maxmemory-policy",
      "noeviction",
    ];
    const child = spawn(
      serverPath,
      ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#directory, ...durable, ...this.#args],
      { stdio: "ignore", env: { PATH: "/usr/bin:/bin" } },
    );
    this.#process = child;
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`Redis ended with ${child.exitCode}`);
        return (await this.command("PING").catch(() => "")).startsWith("+PONG");
      },
      { what: "Redis to answer", deadlineMs: 30_000 },
    );
  }

  async command(...words: readonly string[]): Promise<string> {
    const socket = net.connect(this.port, "127.0.0.1");
    try {
      await once(socket, "connect");
      socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
      const [answer] = (await once(socket, "data")) as [Buffer]; // what a socket reads
      return answer.toString("utf8");
    } finally {
      socket.destroy();
    }
  }
}
