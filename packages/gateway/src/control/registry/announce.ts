import { keyOf } from "../store/keys.ts";
import { StoreError, type Key, type KeyValue, type Store } from "../store/store.ts";
import type { RegistrationStatus } from "./registration.ts";

/** What somebody announces of an instance over the admin API. */
export interface Announcement {
  readonly status: RegistrationStatus;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  /** Whole seconds, at least 2. */
  readonly ttlSeconds: number;
}

/** An instance that was announced: it is there for so long, unless it is announced again. */
export interface Announced {
  readonly created: boolean;
  readonly ttlSeconds: number;
}

/** How often a write is tried against others that announce the same instance. */
const triesMax = 5;

/**
 * Puts an instance under a lease, or keeps the lease it has alive: to be called anew within the time. A value that did
 * not change is not written again, so that the gateways hear of nothing. Rejects with a StoreError.
 */
export async function announce(store: Store, key: Key, announcement: Announcement): Promise<Announced> {
  const { ttlSeconds, ...value } = announcement;
  const bytes = Buffer.from(JSON.stringify(value));
  for (let tries = 1; tries <= triesMax; tries++) {
    const [held] = (await store.range({ key })).kvs;
    const kept = held === undefined ? 0 : await keep(store, held, ttlSeconds);
    if (held !== undefined && kept > 0 && held.value.equals(bytes)) return { created: false, ttlSeconds: kept };
    const lease = held !== undefined && kept > 0 ? held.lease : (await store.grant(ttlSeconds)).id;
    const { succeeded } = await store.txn({
      compare: [{ key, is: "=", target: "mod", number: held?.modRevision ?? 0 }],
      then: [{ type: "put", put: { key, value: bytes, lease } }],
    });
    if (succeeded) return { created: held === undefined, ttlSeconds: kept > 0 ? kept : ttlSeconds };
  }
  throw new StoreError("unreachable", "Others announce this instance at the same time; announce it again.");
}

/** Seconds its lease lives on; 0 where it has none, has run out, or was granted for another time. */
async function keep(store: Store, { lease }: KeyValue, ttlSeconds: number): Promise<number> {
  if (lease === "0") return 0;
  const { grantedSeconds } = await store.lease(lease);
  return grantedSeconds === ttlSeconds ? store.keepAlive(lease) : 0;
}

/** Takes an instance away, with its health report; whether it was there. */
export async function withdraw(store: Store, key: Key, healthKey: Key): Promise<boolean> {
  const { responses } = await store.txn({
    compare: [],
    then: [
      { type: "delete", delete: { key } },
      { type: "delete", delete: { key: healthKey } },
    ],
  });
  const [first] = responses;
  return first?.type === "delete" && first.deleted > 0;
}

/** Stores a health report as long as the instance lives; false where the instance is not announced. */
export async function reportHealth(store: Store, key: Key, healthKey: Key, report: object): Promise<boolean> {
  const [instance] = (await store.range({ key })).kvs;
  if (instance === undefined) return false;
  const value = Buffer.from(JSON.stringify(report));
  const put = { key: healthKey, value, ...(instance.lease === "0" ? {} : { lease: instance.lease }) };
  const { succeeded } = await store.txn({
    compare: [{ key, is: ">", target: "create", number: 0 }],
    then: [{ type: "put", put }],
  });
  return succeeded;
}

/** Where an instance, or its health report, is kept. */
export function instanceKey(prefix: Key, service: string, address: string): Key {
  return `${prefix}${keyOf(service)}/${keyOf(address)}`;
}
