import { readFile, readdir, readlink } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { echoUpstream, type EchoUpstream } from "../kit/echo.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import type { ManualScope, Scope } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";
import { runClient } from "./soak-client.ts";

export interface SoakOptions {
  readonly seconds: number;
  /** The same before the first measurement of sockets and memory. */
  readonly warmUpSeconds: number;
  readonly clients: number;
  readonly workers: number;
  /** Between two reloads. Default 100. */
  readonly reloadEveryMs?: number;
  /** Between two kills of an instance. Default 400. */
  readonly killEveryMs?: number;
}

export interface SoakReport {
  /** Answers that belonged to their request. */
  answered: number;
  /** Requests whose client went away on purpose. */
  aborted: number;
  /** 502s and cuts of requests that may not be repeated, which meet an instance as it dies: allowed. */
  excused: number;
  reloads: number;
  kills: number;
  /** Wrong, mixed-up or lost answers. Empty in a good run. */
  readonly failures: string[];
  readonly sockets: { readonly before: number; readonly after: number };
  readonly rssBytes: { readonly before: number; readonly after: number };
}

const instances = 3;

function soakDocument(addresses: readonly string[], generation: number): Record<string, unknown> {
  const routes: Record<string, unknown> = {
    all: {
      match: { path: "/*" },
      use: ["request-id", { headers: { response: { set: { "x-generation": String(generation) } } } }],
      to: "s",
    },
  };
  // A route comes and another goes with every generation, so that each reload changes routes and a chain.
  for (let i = 0; i < 20; i++) routes[`r${generation + i}`] = { match: { path: `/extra/${generation + i}` }, to: "s" };
  const retry = { attempts: 3, on: ["connect", "reset"], budget: "100%", backoff: "5ms" };
  // Idle connections go soon, so that those that stay show.
  const pool = { idle: "1s" };
  return { routes, services: { s: { instances: addresses.map((address) => ({ address })), retry, pool } } };
}

/** Sockets the process holds, by what /proc says of its descriptors. */
async function socketsOf(pid: number): Promise<number> {
  const names = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")));
  return links.filter((link) => link.startsWith("socket:")).length;
}

async function rssOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

class Chaos {
  readonly #gateway: GatewayProcess;
  readonly #scope: Scope;
  readonly #echoes: EchoUpstream[];
  readonly #options: SoakOptions;
  readonly #report: SoakReport;
  #running = true;

  constructor(scope: Scope, gateway: GatewayProcess, echoes: EchoUpstream[], options: SoakOptions, report: SoakReport) {
    this.#scope = scope;
    this.#gateway = gateway;
    this.#echoes = echoes;
    this.#options = options;
    this.#report = report;
  }

  stop(): void {
    this.#running = false;
  }

  async reloads(): Promise<void> {
    const addresses = this.#echoes.map(({ address }) => address);
    for (let generation = 1; this.#running; generation++) {
      await this.#gateway.replace(soakDocument(addresses, generation));
      this.#report.reloads++;
      await pause(this.#options.reloadEveryMs ?? 100);
    }
  }

  /** Cuts one instance with all its connections at a time, and starts it again on its port. */
  async kills(): Promise<void> {
    for (let i = 0; this.#running; i++) {
      await pause(this.#options.killEveryMs ?? 400);
      const at = i % this.#echoes.length;
      const echo = this.#echoes[at];
      if (echo === undefined) return;
      const { port } = echo;
      echo.close();
      this.#report.kills++;
      await pause(50);
      this.#echoes[at] = await echoUpstream(this.#scope, `echo-${at}`, port);
    }
  }
}

/** Load and chaos for the options' seconds; ends early where too much has gone wrong. */
async function storm(
  scope: Scope,
  gateway: GatewayProcess,
  echoes: EchoUpstream[],
  options: SoakOptions,
  report: SoakReport,
): Promise<void> {
  const chaos = new Chaos(scope, gateway, echoes, options, report);
  const background = [chaos.reloads(), chaos.kills()];
  const untilMs = performance.now() + options.seconds * 1000;
  const running = (): boolean => performance.now() < untilMs && report.failures.length < 10;
  await Promise.all(
    Array.from({ length: options.clients }, (_, id) => runClient(gateway.port, id, running, report, true)),
  );
  chaos.stop();
  await Promise.all(background);
}

/**
 * Load with everything going wrong around it: reloads, instances that die and come back, clients that go away. Each
 * answer is checked against its request's id, in the header and in the body.
 */
export async function soak(scope: ManualScope, options: SoakOptions): Promise<SoakReport> {
  const echoes: EchoUpstream[] = [];
  for (let i = 0; i < instances; i++) echoes.push(await echoUpstream(scope, `echo-${i}`));
  const document = soakDocument(
    echoes.map(({ address }) => address),
    0,
  );
  // Left alone, V8 lets its heaps grow for minutes before it collects, which looks like a leak; in small heaps only a
  // leak grows.
  const env = { NODE_OPTIONS: "--max-old-space-size=96 --max-semi-space-size=4" };
  const gateway = await startGateway(scope, { document, workers: options.workers, env });
  const pid = gateway.child.pid ?? 0;
  const report: SoakReport = {
    answered: 0,
    aborted: 0,
    excused: 0,
    reloads: 0,
    kills: 0,
    failures: [],
    sockets: { before: 0, after: 0 },
    rssBytes: { before: 0, after: 0 },
  };
  // Pools, compiled code and a heap as large as the load makes it belong to the start that the end is compared with.
  const warm = { ...options, seconds: options.warmUpSeconds };
  await storm(scope, gateway, echoes, warm, report);
  const before = { sockets: await settledSockets(pid), rss: await rssOf(pid) };
  await storm(scope, gateway, echoes, options, report);
  if (!gateway.running) report.failures.push(`the gateway ended: ${gateway.logs.stderr.slice(-2_000)}`);
  const after = { sockets: await settledSockets(pid, before.sockets), rss: await rssOf(pid) };
  return {
    ...report,
    sockets: { before: before.sockets, after: after.sockets },
    rssBytes: { before: before.rss, after: after.rss },
  };
}

/** The number of sockets once it is at or below `expected`, or what it stays at when it never gets there. */
async function settledSockets(pid: number, expected = 0): Promise<number> {
  let count = await socketsOf(pid);
  let same = 0;
  await waitFor(
    async () => {
      const now = await socketsOf(pid);
      same = now === count ? same + 1 : 0;
      count = now;
      return now <= expected || same > 80;
    },
    { what: "the number of sockets to settle" },
  );
  return count;
}
