import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Log } from "../../../../core/log.ts";
import { compileNetworks } from "../../../../core/networks.ts";
import type { Timers } from "../../../../core/timers.ts";
import { loadRpc } from "../../etcd/rpc.ts";
import type { EmbeddedStore } from "../embedded-store.ts";
import { contextOf } from "./context.ts";
import { healthService } from "./health.ts";
import { kvService } from "./kv.ts";
import { leaseService } from "./lease.ts";
import { authService, clusterService, maintenanceService } from "./members.ts";
import { WatchService } from "./watch.ts";

export interface ServeEtcdOptions {
  readonly store: EmbeddedStore;
  /** `127.0.0.1:2379`, `[::1]:2379`; port 0: any that is free. */
  readonly address: string;
  readonly timers: Timers;
  readonly log: Log;
  /** The gateway's, for those who ask for the server's version. */
  readonly version: string;
  /** Where clients are told to connect (`http://10.0.0.1:2379`). Default: the address. */
  readonly clientUrls?: readonly string[];
  /** Watches of all clients together. Default 10,000. */
  readonly watchesMax?: number;
  /**
   * A connection that says nothing for `keepaliveMs` (default 10 s) is asked, and closed when `keepaliveTimeoutMs`
   * (default 5 s) later it has not answered: what a client that is gone watches costs memory.
   */
  readonly keepaliveMs?: number;
  readonly keepaliveTimeoutMs?: number;
}

export interface ServedEtcd {
  /** With the port that it has. */
  readonly address: string;
  /** Ends every stream, answers what was asked, and leaves the port. */
  close(): Promise<void>;
}

/** etcd's 1.5 MiB for a request and 512 KiB for what gRPC adds; a larger one is RESOURCE_EXHAUSTED. */
const requestBytesMax = 2 * 1024 * 1024;
/** Calls at a time on one connection. */
const callsMax = 1_000;
/** How long `close` waits for calls that are under way. */
const closeGraceMs = 2_000;

/**
 * Serves the embedded store over etcd's v3 gRPC API, for etcdctl and the etcd clients of every language. No TLS and no
 * authentication: who reaches the address reads and writes everything. Rejects when the address cannot be taken.
 */
export async function serveEtcd(options: ServeEtcdOptions): Promise<ServedEtcd> {
  const { store, log, timers, watchesMax = 10_000, keepaliveMs = 10_000, keepaliveTimeoutMs = 5_000 } = options;
  const { host, port: wanted } = splitAddress(options.address);
  if (!isLoopback(host)) {
    log.warn(
      { address: options.address },
      "The etcd API has no authentication and listens on an address that other machines may reach; use 127.0.0.1.",
    );
  }
  const server = new Server({
    "grpc.max_receive_message_length": requestBytesMax,
    // As etcd: what clients may take is for them to say.
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": callsMax,
    "grpc.keepalive_time_ms": keepaliveMs,
    "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
  });
  const rpc = loadRpc();
  const context = contextOf(store, log);
  const watch = new WatchService(context, timers, { watchesMax });
  // Clients read the list after they connected, so it may be completed when the port is known.
  const clientUrls = [...(options.clientUrls ?? [])];
  const facts = { version: options.version, clientUrls };
  server.addService(rpc.KV, kvService(context, rpc));
  server.addService(rpc.Watch, watch.handlers);
  server.addService(rpc.Lease, leaseService(context, rpc));
  server.addService(rpc.Cluster, clusterService(context, rpc, facts));
  server.addService(rpc.Maintenance, maintenanceService(context, rpc, facts));
  server.addService(rpc.Auth, authService(context, rpc));
  const health = healthService(Object.keys(rpc).map((name) => `etcdserverpb.${name}`));
  server.addService(health.definition, health.handlers);
  try {
    const port = await bind(server, `${host}:${wanted}`);
    const address = `${host}:${port}`;
    if (clientUrls.length === 0) clientUrls.push(`http://${address}`);
    return {
      address,
      close: async () => {
        watch.close();
        await shutDown(server, timers);
      },
    };
  } catch (error) {
    watch.close();
    server.forceShutdown();
    throw error;
  }
}

function bind(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(new Error(`The etcd API cannot listen on ${address}: ${error.message}`, { cause: error }));
    });
  });
}

function shutDown(server: Server, timers: Timers): Promise<void> {
  return new Promise((resolve) => {
    const giveUp = timers.after(closeGraceMs, () => server.forceShutdown());
    server.tryShutdown(() => {
      giveUp();
      resolve();
    });
  });
}

const isLoopbackAddress = compileNetworks(["127.0.0.0/8", "::1/128"]);

function isLoopback(host: string): boolean {
  return host === "localhost" || isLoopbackAddress(host.replace(/^\[(.*)\]$/, "$1"));
}

function splitAddress(address: string): { host: string; port: number } {
  const [, host, port] = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(address) ?? [];
  if (host === undefined || port === undefined) {
    throw new Error(`"${address}" is not an address for the etcd API; write it as 127.0.0.1:2379.`);
  }
  return { host, port: Number(port) };
}
