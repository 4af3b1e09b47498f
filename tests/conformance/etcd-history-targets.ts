import { systemClock, systemRandom } from "../../packages/gateway/src/core/clock.ts";
import { silentLog } from "../../packages/gateway/src/core/log.ts";
import { systemTimers } from "../../packages/gateway/src/core/timers.ts";
import { openEtcd } from "../../packages/gateway/src/control/store/etcd/open.ts";
import type { Store } from "../../packages/gateway/src/control/store/store.ts";
import { startEtcd } from "../kit/etcd.ts";
import { faultProxy } from "../kit/fault-proxy.ts";
import type { Scope } from "../kit/scope.ts";
import { startServed } from "./etcd-served.ts";
import type { WorkloadOptions } from "./etcd-workload.ts";

type Target = Pick<WorkloadOptions, "steady" | "disturbed" | "disturb">;

/** What a history is recorded of. */
export const targets = {
  "etcd through its client": async (scope: Scope): Promise<Target> =>
    throughProxy(scope, (await startEtcd(scope)).clientPort),
  "the embedded store through its server and the client": async (scope: Scope): Promise<Target> =>
    throughProxy(scope, (await startServed(scope)).port),
  "the embedded store": async (scope: Scope): Promise<Target> => {
    const { store } = await startServed(scope);
    return { steady: store, disturbed: store };
  },
} as const satisfies Record<string, (scope: Scope) => Promise<Target>>;

async function throughProxy(scope: Scope, port: number): Promise<Target> {
  const proxy = await faultProxy(scope, port);
  const steady = connect(scope, port);
  const disturbed = connect(scope, proxy.port);
  return { steady, disturbed, disturb: () => proxy.cut() };
}

function connect(scope: Scope, port: number): Store {
  const parts = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };
  const store = openEtcd({ ...parts, endpoints: [`http://127.0.0.1:${port}`], url: `etcd://127.0.0.1:${port}/` });
  scope.after(() => store.close());
  return store;
}
