import type { TestContext } from "node:test";
import { systemClock, systemRandom } from "../../../core/clock.ts";
import { silentLog } from "../../../core/log.ts";
import { systemTimers } from "../../../core/timers.ts";
import type { Store } from "../store.ts";
import { openEtcd, type EtcdOptions } from "./open.ts";

/** A store for a test, with real time; closed after it. */
export function openStore(t: TestContext, endpoints: readonly string[], options: Partial<EtcdOptions> = {}): Store {
  const parts = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };
  const store = openEtcd({ endpoints, url: `etcd://${endpoints.join()}/`, ...parts, ...options });
  t.after(() => store.close());
  return store;
}
