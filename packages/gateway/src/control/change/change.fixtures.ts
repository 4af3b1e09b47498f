import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { FakeStore } from "../../../../../tests/kit/fake-store.ts";
import { fakeTimers, settled } from "../../../../../tests/kit/fake-timers.ts";
import { silentLog } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { normalizePrefix, parseKey, type Kind } from "../layout.ts";
import { StoreError, type KeyValue, type Txn, type TxnResult } from "../store/store.ts";
import type { Judge, ResourceWrite } from "./change.ts";
import { Changes } from "./changes.ts";
import { valueOf } from "./read.ts";
import type { TransactionLimits } from "./split.ts";
import type { NodeState } from "./wait.ts";

export const prefix = normalizePrefix("/headgate");

/** A fake store whose transactions can be looked at and disturbed. */
export class WatchedStore extends FakeStore {
  /** Transactions that write; before each, with its number from 1. */
  beforeWrite: (number: number) => void = () => undefined;
  /** After each that was made. What it throws, the caller is told: a lost answer. */
  afterWrite: (number: number) => void = () => undefined;
  writes = 0;

  override async txn(txn: Txn): Promise<TxnResult> {
    if (txn.then.every(({ type }) => type === "range")) return super.txn(txn);
    const number = ++this.writes;
    this.beforeWrite(number);
    const result = await super.txn(txn);
    if (result.succeeded) this.afterWrite(number);
    return result;
  }
}

export function lost(): never {
  throw new StoreError("unreachable", "deadline exceeded");
}

export interface Rig {
  readonly store: WatchedStore;
  readonly clock: FakeClock;
  readonly timers: Timers;
  readonly changes: Changes;
  /** Every question that was put to the judge. */
  readonly judged: (readonly ResourceWrite[])[];
  nodes: NodeState[];
  tellNodes(): void;
}

export interface RigOptions {
  readonly judge?: Judge;
  readonly limits?: TransactionLimits;
  readonly store?: WatchedStore;
  readonly seed?: number;
}

/** Changes on a fake store, with a replica that is never behind. */
export function rig({ judge, limits, store = new WatchedStore(), seed = 1 }: RigOptions = {}): Rig {
  const clock = new FakeClock();
  const timers = fakeTimers(clock);
  const judged: (readonly ResourceWrite[])[] = [];
  const listeners = new Set<() => void>();
  const self: Rig = {
    store,
    clock,
    timers,
    judged,
    nodes: [],
    tellNodes: () => {
      for (const listener of listeners) listener();
    },
    changes: new Changes({
      store,
      prefix,
      clock,
      timers,
      random: seededRandom(seed),
      log: silentLog,
      judge: (writes, options) => {
        judged.push(writes);
        return judge?.(writes, options) ?? Promise.resolve({ problems: [], unreachable: [] });
      },
      get kvs() {
        return store.contents("/headgate/");
      },
      revision: () => store.revision,
      caughtUp: () => Promise.resolve(true),
      nodes: () => self.nodes,
      onNodes: (listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
      ...(limits === undefined ? {} : { limits }),
    }),
  };
  return self;
}

export type Configuration = Readonly<Record<string, unknown>>;

/** The resources of a store, as of a revision: `routes/a` to its value. */
export function configuration(store: FakeStore, revision = store.revision): Configuration {
  return configurationOf(store.contents("/headgate/", revision).values());
}

export function configurationOf(kvs: Iterable<KeyValue>): Configuration {
  const found: [string, unknown][] = [];
  for (const kv of kvs) {
    const parsed = parseKey(prefix, kv.key);
    if (parsed.area === "resource") found.push([`${parsed.kind}/${parsed.name}`, valueOf(kv)]);
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Puts one resource beside the tools, as `etcdctl` would. */
export function putByHand(store: FakeStore, kind: Kind, name: string, value: unknown): number {
  return store.put(`/headgate/${kind}/${name}`, JSON.stringify(value));
}

/** Names that routes, services and the global chain of a configuration refer to and that are not there. */
export function danglingReferences(configured: Configuration): string[] {
  const missing: string[] = [];
  for (const [resource, value] of Object.entries(configured)) {
    const { to, use }: { to?: unknown; use?: unknown } = Object(value);
    const chain = resource === "settings/global" ? value : use;
    if (typeof to === "string" && !(`services/${to}` in configured)) missing.push(`${resource} -> ${to}`);
    for (const step of Array.isArray(chain) ? chain : []) {
      if (!(`middlewares/${String(step)}` in configured)) missing.push(`${resource} -> ${String(step)}`);
    }
  }
  return missing;
}

export const anna = { author: "anna@desk" };

/** The promise's outcome, moving the clock whenever everything waits for it. */
export async function driven<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
  let waiting = true;
  const end = (): void => void (waiting = false);
  promise.then(end, end);
  while (waiting) {
    await settled();
    if (waiting) clock.advance(50);
  }
  return promise;
}
