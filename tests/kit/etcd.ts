import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "./ports.ts";
import type { Scope } from "./scope.ts";
import { waitFor } from "./wait.ts";

const run = promisify(execFile);
const serverPath = "/usr/bin/etcd";
const clientPath = "/usr/bin/etcdctl";

/** Why tests that need a real etcd cannot run here; undefined where they can. For `t.skip(reason)` and `{ skip }`. */
export const etcdMissing: string | undefined =
  existsSync(serverPath) && existsSync(clientPath)
    ? undefined
    : 'etcd is missing: install the Debian packages "etcd-server" and "etcd-client"';

export interface EtcdOptions {
  /** More command line arguments, as `--auto-compaction-retention=1`. */
  readonly args?: readonly string[];
  /** Serves clients over TLS: files in PEM. With `ca`, clients must present a certificate that it signed. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string };
  /** What etcdctl needs beside the endpoint, as `--cacert=...`. */
  readonly ctlArgs?: readonly string[];
}

/** A real etcd of one member, in a process of its own, with its data in a temporary directory. */
export interface Etcd {
  /** `http://127.0.0.1:port`, or `https://` */
  readonly endpoint: string;
  readonly clientPort: number;
  readonly pid: number;
  readonly dataDir: string;
  /** Runs etcdctl (API 3) against it; resolves with its stdout, rejects when it exits with an error. */
  ctl(...args: string[]): Promise<string>;
  /** SIGSTOP: connections stay open and nothing answers. */
  stop(): void;
  /** SIGCONT. */
  cont(): void;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again where it was killed, on the same port, and waits until it answers. Kills it first if it runs. */
  restart(): Promise<void>;
  /** Kills it, forgets all data, starts it again: revision 1 (and, as etcd derives it from names, the same cluster id). */
  wipe(): Promise<void>;
  /** Saves its data in a file. */
  snapshot(path: string): Promise<void>;
  /**
   * Kills it and starts it with the data of a snapshot: the revision goes backwards. `token`: another text makes another
   * cluster id.
   */
  restore(path: string, token?: string): Promise<void>;
}

/** Starts a real etcd and waits until it answers. Leases may be as short as one second. */
export async function startEtcd(scope: Scope, options: EtcdOptions = {}): Promise<Etcd> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-etcd-"));
  const server = new EtcdProcess(directory, await freePort(), await freePort(), options);
  scope.after(async () => {
    await server.kill();
    rmSync(directory, { recursive: true, force: true });
  });
  await server.start();
  return server;
}

class EtcdProcess implements Etcd {
  readonly clientPort: number;
  readonly endpoint: string;
  readonly dataDir: string;
  readonly #peer: string;
  readonly #options: EtcdOptions;
  #process: ChildProcess | undefined;
  #said = "";

  constructor(directory: string, clientPort: number, peerPort: number, options: EtcdOptions) {
    this.dataDir = join(directory, "data");
    this.clientPort = clientPort;
    this.endpoint = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${clientPort}`;
    this.#peer = `http://127.0.0.1:${peerPort}`;
    this.#options = options;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error("etcd does not run");
    return pid;
  }

  async start(): Promise<void> {
    const { tls, args = [] } = this.#options;
    const child = spawn(
      serverPath,
      [
        ...["--name=test", `--data-dir=${this.dataDir}`, "--logger=zap", "--log-level=error"],
        ...[`--listen-client-urls=${this.endpoint}`, `--advertise-client-urls=${this.endpoint}`],
        ...[`--listen-peer-urls=${this.#peer}`, `--initial-advertise-peer-urls=${this.#peer}`],
        `--initial-cluster=test=${this.#peer}`,
        // Elects itself at once, and allows leases of one second: the least is one and a half elections.
        ...["--heartbeat-interval=10", "--election-timeout=100"],
        ...(tls === undefined ? [] : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`]),
        ...(tls?.ca === undefined ? [] : [`--trusted-ca-file=${tls.ca}`, "--client-cert-auth"]),
        ...args,
      ],
      { stdio: ["ignore", "ignore", "pipe"], env: { PATH: "/usr/bin:/bin" } },
    );
    this.#process = child;
    this.#said = "";
    child.stderr.on("data", (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-4_000)));
    await waitFor(
      () => {
        if (child.exitCode !== null) throw new Error(`etcd ended with ${child.exitCode}: ${this.#said}`);
        return this.#isHealthy();
      },
      { what: () => `etcd to answer: ${this.#said}`, deadlineMs: 30_000 },
    );
  }

  async ctl(...args: string[]): Promise<string> {
    const all = [`--endpoints=${this.endpoint}`, "--command-timeout=20s", ...(this.#options.ctlArgs ?? []), ...args];
    const env = { PATH: "/usr/bin:/bin", ETCDCTL_API: "3" };
    const { stdout } = await run(clientPath, all, { env, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  }

  stop(): void {
    process.kill(this.pid, "SIGSTOP");
  }

  cont(): void {
    process.kill(this.pid, "SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async wipe(): Promise<void> {
    await this.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
    await this.start();
  }

  async snapshot(path: string): Promise<void> {
    await this.ctl("snapshot", "save", path);
  }

  async restore(path: string, token = "etcd-cluster"): Promise<void> {
    await this.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
    const member = [
      "--name=test",
      `--initial-cluster=test=${this.#peer}`,
      `--initial-advertise-peer-urls=${this.#peer}`,
      `--initial-cluster-token=${token}`,
    ];
    const env = { PATH: "/usr/bin:/bin", ETCDCTL_API: "3" };
    await run(clientPath, ["snapshot", "restore", path, `--data-dir=${this.dataDir}`, ...member], { env });
    await this.start();
  }

  /** Its own page rather than etcdctl: a process less for each look. */
  #isHealthy(): Promise<boolean> {
    const { tls } = this.#options;
    if (tls?.ca !== undefined) return this.#listens();
    return new Promise((resolve) => {
      const get = tls === undefined ? http.get : https.get;
      const request = get(`${this.endpoint}/health`, { agent: false, rejectUnauthorized: false }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (body += chunk));
        response.on("end", () => resolve(body.includes("true")));
        response.on("error", () => resolve(false));
      });
      request.setTimeout(1_000, () => request.destroy());
      request.on("error", () => resolve(false));
    });
  }

  /** With certificates asked of clients, etcdctl is the one that has one. */
  async #listens(): Promise<boolean> {
    try {
      await this.ctl("endpoint", "health");
      return true;
    } catch {
      return false;
    }
  }
}
