import type { StoreSettings } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import type { Store } from "./store.ts";

export interface OpenStoreOptions {
  readonly settings: StoreSettings;
  /** Absolute. The embedded store keeps its file there. */
  readonly dataDir: string;
  /** The gateway's, for clients of the embedded store's API. */
  readonly version: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

export interface OpenedStore {
  readonly store: Store;
  /** Where the embedded store serves etcd's API; absent where it does not. */
  readonly listening?: string;
  close(): Promise<void>;
}

/**
 * Opens the store that the settings name. For etcd it does not wait for an answer. Rejects where the embedded store
 * cannot be opened, or its address not be taken. What the other kind of store needs is not loaded.
 */
export async function openStore(options: OpenStoreOptions): Promise<OpenedStore> {
  const { settings, dataDir, clock, timers, random, log, version } = options;
  if ("etcd" in settings) {
    const { openEtcd } = await import("./etcd/open.ts");
    const { endpoints, username, password, tls, prefix } = settings.etcd;
    const url = `${endpoints[0]?.startsWith("https:") === true ? "etcds" : "etcd"}://${endpoints.map((endpoint) => endpoint.replace(/^https?:\/\//, "")).join(",")}${prefix}`;
    const store = openEtcd({
      endpoints,
      ...(username === undefined ? {} : { user: { name: username, password: password ?? "" } }),
      ...(tls === undefined ? {} : { tls }),
      url,
      clock,
      timers,
      random,
      log,
    });
    return { store, close: () => store.close() };
  }
  const { openEmbedded } = await import("./embedded/open.ts");
  const store = openEmbedded({ dataDir, clock, timers, random, log });
  const { listen } = settings.embedded;
  if (listen === undefined) return { store, close: () => store.close() };
  try {
    const { serveEtcd } = await import("./embedded/serve/serve-etcd.ts");
    const served = await serveEtcd({ store, address: listen, timers, log, version });
    return {
      store,
      listening: served.address,
      close: async () => {
        await served.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}
