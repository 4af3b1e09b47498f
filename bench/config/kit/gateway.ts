import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, launch } from "../../kit/process.ts";
import type { Running } from "../../kit/process.ts";

export interface GatewayOptions {
  readonly name: string;
  /** For its data directory. */
  readonly dir: string;
  readonly etcdPort: number;
  readonly workers: number;
  readonly env?: Readonly<Record<string, string>>;
  /** The data directory of one that ran before. */
  readonly dataDir?: string;
}

/** A gateway on a store. */
export interface StoreGateway extends Running {
  readonly adminPort: number;
  readonly dataDir: string;
  /** From the start of the process until `/readyz` answered 200, asked every 20 ms. */
  readonly readyMs: number;
  status(): Promise<Status>;
  /** As `PUT /v1/routes/<name>`. Rejects where it is not 200 or 201. */
  putRoute(name: string, value: object): Promise<void>;
}

/** What is read of `/v1/status`. */
export interface Status {
  readonly revision: number;
  readonly configSource: string;
  readonly workers: readonly { readonly id: number; readonly connections: number; readonly restarts: number }[];
}

const launcher = fileURLToPath(new URL("../../../packages/gateway/bin/headgate", import.meta.url));

/** 100,000 routes on a machine that others use, too. */
const readyTimeoutMs = 120_000;

/** Starts a gateway on the configuration in etcd, without access log, and waits until it serves. */
export async function startStoreGateway(options: GatewayOptions): Promise<StoreGateway> {
  const { name, dir, etcdPort, workers, env = {} } = options;
  const [port, adminPort] = [await freePort(), await freePort()];
  const dataDir = options.dataDir ?? join(dir, `${name}-${port}`);
  await mkdir(dataDir, { recursive: true });
  const startedMs = performance.now();
  const running = await launch({
    name,
    command: [
      ...([launcher, "start", "--store", `etcd://127.0.0.1:${etcdPort}/headgate/`] as const),
      ...["--listen", `127.0.0.1:${port}`, "--admin", `127.0.0.1:${adminPort}`, "--data-dir", dataDir],
      ...["--workers", String(workers), "--set", "gateway.accessLog.format=off"],
      ...["--set", "gateway.timeouts.keepAlive=10m"],
    ],
    port,
    ready: { port: adminPort, path: "/readyz", everyMs: 20, timeoutMs: readyTimeoutMs },
    cwd: dataDir,
    env,
  });
  return {
    ...running,
    adminPort,
    dataDir,
    readyMs: performance.now() - startedMs,
    ...(await adminOf(adminPort, dataDir)),
  };
}

/** The admin API of a gateway. */
export async function adminOf(adminPort: number, dataDir: string): Promise<Pick<StoreGateway, "status" | "putRoute">> {
  const token = (await readFile(join(dataDir, "admin-token"), "utf8")).trim();
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const url = `http://127.0.0.1:${adminPort}`;
  return {
    async status() {
      const response = await fetch(`${url}/v1/status`, { headers });
      return (await response.json()) as Status; // the admin API's contract
    },
    async putRoute(name, value) {
      const response = await fetch(`${url}/v1/routes/${name}`, { method: "PUT", headers, body: JSON.stringify(value) });
      const answer = await response.text();
      if (!response.ok) throw new Error(`PUT /v1/routes/${name} answered ${response.status}: ${answer.slice(0, 200)}`);
    },
  };
}
