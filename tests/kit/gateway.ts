import { spawn, type ChildProcessByStdio } from "node:child_process";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { freePort } from "./ports.ts";
import type { Scope } from "./scope.ts";
import { waitFor, within } from "./wait.ts";

export const repositoryRoot = path.resolve(import.meta.dirname, "../..");
const launcher = path.join(repositoryRoot, "packages/gateway/bin/headgate");

/** A document as an object (written as JSON, which is YAML) or as YAML text. */
export type DocumentInput = string | Readonly<Record<string, unknown>>;

export interface GatewayOptions {
  /** Absent: no `-c`; the configuration comes from the store that `args` name, or from the embedded one. */
  readonly document?: DocumentInput;
  /** Takes over the addresses and the directory, with its data, of a gateway that has ended. */
  readonly after?: GatewayProcess;
  /** More arguments after `start -c FILE --listen ... --admin ... --data-dir ... --workers N`. */
  readonly args?: readonly string[];
  /** Default 1. */
  readonly workers?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Files to write beside the document first, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Whether the document's own accessLog setting holds. Default false: switched off, to keep test logs short. */
  readonly accessLog?: boolean;
  /** The file to start from, when it is not the one `document` is written to (a symbolic link, say). */
  readonly prepare?: (directory: string) => Promise<string>;
}

/** The part of `GET /v1/status` that tests read. */
export interface GatewayStatus {
  readonly revision: number;
  readonly pid: number;
  readonly problems: readonly {
    readonly message: string;
    readonly file?: string;
    readonly line?: number;
    readonly column?: number;
  }[];
  readonly workers: readonly { readonly id: number; readonly revision: number; readonly restarts: number }[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A gateway as users run it: a process of its own, from `packages/gateway/bin/headgate`. */
export class GatewayProcess {
  readonly port: number;
  readonly adminPort: number;
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  readonly adminUrl: string;
  /** Temporary directory with the document, its neighbours and the data directory. */
  readonly directory: string;
  readonly file: string;
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** What the process wrote so far. */
  readonly logs = { stdout: "", stderr: "" };
  /** Resolves when the process has ended. */
  readonly exited: Promise<Exit>;
  #token: string | undefined;

  constructor(init: {
    port: number;
    adminPort: number;
    directory: string;
    file: string;
    child: GatewayProcess["child"];
  }) {
    this.port = init.port;
    this.adminPort = init.adminPort;
    this.url = `http://127.0.0.1:${init.port}`;
    this.adminUrl = `http://127.0.0.1:${init.adminPort}`;
    this.directory = init.directory;
    this.file = init.file;
    this.child = init.child;
    for (const stream of ["stdout", "stderr"] as const) {
      this.child[stream].setEncoding("utf8").on("data", (text: string) => void (this.logs[stream] += text));
    }
    this.exited = new Promise((resolve) => {
      this.child.once("error", () => resolve({ code: null, signal: null }));
      this.child.once("exit", (code, signal) => resolve({ code, signal }));
    });
  }

  /** The admin token, read from the data directory as the command line does. */
  async token(): Promise<string> {
    return (this.#token ??= (await readFile(path.join(this.directory, "data/admin-token"), "utf8")).trim());
  }

  /** A request to the admin address with the token. */
  async admin(target: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${await this.token()}`);
    return fetch(this.adminUrl + target, { ...init, headers });
  }

  async status(): Promise<GatewayStatus> {
    const response = await this.admin("/v1/status");
    if (!response.ok) throw new Error(`status answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as GatewayStatus; // the admin API's contract; tests read what they assert
  }

  /** The sum of a metric's series whose labels hold every given pair; 0 where there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const text = await (await this.admin("/metrics")).text();
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
    return text
      .split("\n")
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .filter((line) => wanted.every((pair) => line.includes(pair)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  /** Writes the document in place. Does not wait. */
  async write(document: DocumentInput): Promise<void> {
    await writeFile(this.file, documentText(document));
  }

  /** Replaces the document as editors do: a new file renamed over the old one. Does not wait. */
  async replace(document: DocumentInput): Promise<void> {
    const next = path.join(this.directory, `.next-${Math.random()}`);
    await writeFile(next, documentText(document));
    await rename(next, this.file);
  }

  /** Replaces the document and waits until a new revision is live, or problems are reported; the status then. */
  async reload(document: DocumentInput): Promise<GatewayStatus> {
    const before = await this.status();
    await this.replace(document);
    return this.settled(before);
  }

  /** Waits until the revision or the problems differ from `before`. */
  settled(before: GatewayStatus): Promise<GatewayStatus> {
    const problems = JSON.stringify(before.problems);
    return waitFor(
      async () => {
        const now = await this.status();
        return now.revision !== before.revision || JSON.stringify(now.problems) !== problems ? now : undefined;
      },
      { what: () => `a change of configuration to take effect; log: ${this.logs.stderr.slice(-2_000)}` },
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** SIGTERM; waits for the end. */
  async stop(deadlineMs = 15_000): Promise<Exit> {
    this.signal("SIGTERM");
    return within(this.exited, () => `the gateway to end; log: ${this.logs.stderr.slice(-2_000)}`, deadlineMs);
  }

  /** SIGKILL; waits for the end. */
  async kill(): Promise<Exit> {
    this.signal("SIGKILL");
    return this.exited;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null && this.child.pid !== undefined;
  }
}

export function documentText(document: DocumentInput): string {
  return typeof document === "string" ? document : JSON.stringify(document, undefined, 2);
}

/** Runs the command line to its end. */
export async function runHeadgate(
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const child = spawn(launcher, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => void (output.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => void (output.stderr += text));
  const exit = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  return { ...(await within(exit, `headgate ${args.join(" ")}`, 30_000)), ...output };
}

async function end(gateway: GatewayProcess): Promise<void> {
  if (gateway.running) {
    gateway.signal("SIGTERM");
    // A drain that a failed test left with open exchanges is not waited for: the second signal ends at once.
    await within(gateway.exited, "the end", 2_000).catch(() => gateway.kill());
  }
}

/** Starts the process without waiting for anything; for tests of failing starts. */
export async function launchGateway(scope: Scope, options: GatewayOptions): Promise<GatewayProcess> {
  const directory = options.after?.directory ?? (await mkdtemp(path.join(tmpdir(), "headgate-test-")));
  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(path.join(directory, name), text);
  const written = path.join(directory, "headgate.yaml");
  if (options.document !== undefined) await writeFile(written, documentText(options.document));
  const file = (await options.prepare?.(directory)) ?? written;
  const { port = await freePort(), adminPort = await freePort() } = options.after ?? {};
  const args = ["start", "--listen", `127.0.0.1:${port}`, "--admin", `127.0.0.1:${adminPort}`];
  if (options.document !== undefined) args.push("-c", file);
  args.push("--data-dir", path.join(directory, "data"), "--workers", String(options.workers ?? 1));
  if (options.accessLog !== true) args.push("--set", "gateway.accessLog.format=off");
  const child = spawn(launcher, [...args, ...(options.args ?? [])], {
    cwd: directory,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // A test file that ends in the middle must not leave its gateway behind.
  const lastResort = (): void => void child.kill("SIGKILL");
  process.once("exit", lastResort);
  child.once("exit", () => process.off("exit", lastResort));
  const gateway = new GatewayProcess({ port, adminPort, directory, file, child });
  scope.after(async () => {
    await end(gateway);
    await rm(directory, { recursive: true, force: true });
  });
  return gateway;
}

/** Starts a gateway on `document` and waits until `/readyz` says that requests are served. Ended with the test. */
export async function startGateway(scope: Scope, options: GatewayOptions): Promise<GatewayProcess> {
  const gateway = await launchGateway(scope, options);
  await waitFor(
    async () => {
      if (!gateway.running) throw new Error(`the gateway ended at start: ${gateway.logs.stderr}${gateway.logs.stdout}`);
      return (await fetch(`${gateway.adminUrl}/readyz`).catch(() => undefined))?.status === 200;
    },
    { deadlineMs: 30_000, what: () => `the gateway to be ready: ${gateway.logs.stderr}${gateway.logs.stdout}` },
  );
  return gateway;
}

/** A document with one service `s` at `address` and one route that takes everything; `more` is laid over it. */
export function simpleDocument(
  address: string | readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const addresses = typeof address === "string" ? [address] : address;
  return {
    routes: { all: { match: { path: "/*" }, to: "s" } },
    services: { s: { instances: addresses.map((one) => ({ address: one })) } },
    ...more,
  };
}
