import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, systemRandom } from "../../packages/gateway/src/core/clock.ts";
import { silentLog } from "../../packages/gateway/src/core/log.ts";
import { systemTimers } from "../../packages/gateway/src/core/timers.ts";
import type { EmbeddedStore } from "../../packages/gateway/src/control/store/embedded/embedded-store.ts";
import { openEmbedded } from "../../packages/gateway/src/control/store/embedded/open.ts";
import {
  serveEtcd,
  type ServedEtcd,
  type ServeEtcdOptions,
} from "../../packages/gateway/src/control/store/embedded/serve/serve-etcd.ts";
import type { Scope } from "../kit/scope.ts";

export type ServedOptions = Partial<Omit<ServeEtcdOptions, "store">>;

/** The embedded store behind etcd's API, in this process. */
export interface Served {
  readonly store: EmbeddedStore;
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly port: number;
  /** Ends the server; the store stays open. */
  close(): Promise<void>;
  /** Closes the store too and opens both again, with the same data and on the same port. */
  restart(): Promise<void>;
}

export async function startServed(scope: Scope, options: ServedOptions = {}): Promise<Served> {
  const dataDir = mkdtempSync(join(tmpdir(), "headgate-served-"));
  let server: ServedEtcd | undefined;
  let store = openStore(dataDir);
  scope.after(async () => {
    await server?.close();
    await store.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const first = await serve(store, options);
  server = first;
  const { address } = first;
  return {
    get store() {
      return store;
    },
    address,
    port: Number(address.slice(address.lastIndexOf(":") + 1)),
    close: async () => server?.close(),
    restart: async () => {
      await server?.close();
      await store.close();
      store = openStore(dataDir);
      server = await serve(store, { ...options, address });
    },
  };
}

const parts = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };

function openStore(dataDir: string): EmbeddedStore {
  return openEmbedded({ ...parts, dataDir });
}

function serve(store: EmbeddedStore, options: ServedOptions): Promise<ServedEtcd> {
  return serveEtcd({ ...parts, store, address: "127.0.0.1:0", version: "1.2.3", ...options });
}

export interface CtlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs etcdctl against an address; resolves however it exits. */
export function etcdctl(address: string, args: readonly string[], stdin?: string): Promise<CtlResult> {
  const all = [`--endpoints=${address}`, "--command-timeout=20s", ...args];
  const env = { PATH: "/usr/bin:/bin", ETCDCTL_API: "3" };
  return new Promise((resolve) => {
    const child = execFile("etcdctl", all, { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const code = typeof error?.code === "number" ? error.code : error === null ? 0 : -1;
      resolve({ code, stdout, stderr });
    });
    child.stdin?.end(stdin ?? "");
  });
}
