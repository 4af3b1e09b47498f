import { setTimeout as pause } from "node:timers/promises";
import { StoreError, type Operation, type Store } from "../../packages/gateway/src/control/store/store.ts";
import { inRange, prefixRange } from "../../packages/gateway/src/control/store/keys.ts";
import { seededRandom } from "../kit/clock.ts";
import {
  checkHistory,
  HistoryReader,
  WatchRecorder,
  type Acknowledged,
  type History,
  type Violation,
} from "../kit/history.ts";

/** A random workload and what watchers made of it. The same seed makes the same choices; times differ. */
export interface WorkloadOptions {
  /** A connection that nobody disturbs: writes, and reads the truth. */
  readonly steady: Store;
  /** The connection that is cut: watches, and one writer that does not insist. */
  readonly disturbed: Store;
  readonly disturb?: () => void;
  readonly seed: number;
  /** It ends when so much time has passed and so many revisions were made: a busy machine takes longer. */
  readonly durationMsMin: number;
  readonly revisionsMin: number;
}

export interface WorkloadReport {
  readonly violations: readonly Violation[];
  readonly revisions: number;
  readonly events: number;
  readonly watches: number;
  readonly toldEvents: number;
  readonly acknowledged: number;
  readonly disturbances: number;
  readonly compactions: number;
  readonly lostToCompaction: number;
  /** Keys that went because their lease ran out. */
  readonly expired: number;
}

const prefix = "/history/";
const keyCount = 12;
const everything = prefixRange(prefix);
/** How long a writer rests between writes at most: the truth is read revision by revision. */
const restMsMax = 16;
/** etcd 3.4 makes two seconds of everything less. */
const leaseSeconds = 2;
/** Revisions that a compaction leaves. */
const keptRevisions = 60;

type Random = () => number;
const below = (random: Random, bound: number): number => Math.floor(random() * bound);
const keyAt = (index: number): string => `${prefix}${String(index).padStart(2, "0")}`;

export async function runWorkload(options: WorkloadOptions): Promise<WorkloadReport> {
  const { steady } = options;
  const { revision, clusterId } = await steady.range({ key: prefix, countOnly: true });
  const run = new Run(options, revision, clusterId);
  run.openWatches();
  await Promise.all([
    ...[1, 2].map((writer) => run.write(steady, writer)),
    run.write(options.disturbed, 3),
    run.lend(),
    run.disturb(),
  ]);
  return run.finish();
}

class Run {
  readonly #options: WorkloadOptions;
  readonly #start: number;
  readonly #clusterId: string;
  readonly #reader: HistoryReader;
  readonly #watches: WatchRecorder[] = [];
  readonly #acknowledged: Acknowledged[] = [];
  readonly #leaseKeys = new Set<string>();
  #newest: number;
  readonly #startedMs = performance.now();
  #compacted = 0;
  #compactions = 0;
  #disturbances = 0;

  constructor(options: WorkloadOptions, revision: number, clusterId: string) {
    this.#options = options;
    this.#start = revision;
    this.#newest = revision;
    this.#clusterId = clusterId;
    this.#reader = new HistoryReader(options.steady, everything, revision);
  }

  openWatches(): void {
    const from = this.#start + 1;
    this.#watch("everything", { ...everything, from, previous: true });
    this.#watch("half", { key: prefix, end: keyAt(keyCount / 2), from });
    this.#watch("one key", { key: keyAt(1), from, previous: true });
    this.#watch("from a key on", { key: keyAt(3), end: "\0", from });
  }

  /** Writes at random; what the store says it did is written down. */
  async write(store: Store, writer: number): Promise<void> {
    const random = seededRandom(this.#options.seed * 16 + writer);
    for (let count = 0; !this.#isEnough(); count++) {
      const { operations, writes } = chooseWrites(random, `${writer}.${count}`);
      try {
        const { revision } = await store.txn({ compare: [], then: operations });
        this.#newest = Math.max(this.#newest, revision);
        if (writes.size > 0) this.#acknowledged.push({ revision, writes });
      } catch (error) {
        // Cut while it was under way: done or not, nobody was told.
        if (!(error instanceof StoreError) || error.code !== "unreachable") throw error;
      }
      await pause(random() * restMsMax);
    }
  }

  /** Keys with leases: one is revoked, the others run out. */
  async lend(): Promise<void> {
    const { steady, seed } = this.#options;
    const random = seededRandom(seed * 16 + 9);
    for (let count = 0; count < 4; count++) {
      const { id } = await steady.grant(leaseSeconds);
      const keys = [0, 1, 2].map((index) => `${prefix}leased-${count}-${index}`);
      for (const key of keys) {
        this.#leaseKeys.add(key);
        const put = { key, value: Buffer.from(id), lease: id };
        const { revision } = await steady.txn({ compare: [], then: [{ type: "put", put }] });
        this.#acknowledged.push({ revision, writes: new Map([[key, id]]) });
      }
      if (count === 1) {
        for (const key of keys) this.#leaseKeys.delete(key);
        await steady.revoke(id);
      }
      await pause(random() * 200);
    }
  }

  /** Cuts connections, compacts, and opens and closes watches from somewhere in the past. */
  async disturb(): Promise<void> {
    const random = seededRandom(this.#options.seed * 16 + 10);
    const passing: WatchRecorder[] = [];
    for (let turn = 0; !this.#isEnough(); turn++) {
      await pause(20 + random() * 200);
      if (this.#options.disturb !== undefined && random() < 0.7) {
        this.#options.disturb();
        this.#disturbances++;
      }
      if (turn % 10 === 9) await this.#compact();
      const oldest = Math.max(this.#compacted, this.#start) + 1;
      const from = oldest + below(random, Math.max(1, this.#newest - oldest + 3));
      const range = random() < 0.5 ? everything : { key: keyAt(below(random, keyCount)) };
      passing.push(this.#watch(`passing ${turn}`, { ...range, from, previous: random() < 0.5 }));
      if (passing.length > 4) passing.shift()?.close();
      this.#reopenLost();
    }
  }

  async finish(): Promise<WorkloadReport> {
    // Leases run out after the writers are done: the last of them tells that the others have.
    await this.#untilExpired();
    const { revision } = await this.#options.steady.range({ key: prefix, countOnly: true });
    await this.#reader.readThrough(revision);
    const history = this.#reader.history(this.#compacted);
    for (const watch of this.#watches) await untilTold(watch, history);
    const violations = checkHistory(history, this.#watches, this.#acknowledged);
    for (const watch of this.#watches) watch.close();
    const told = this.#watches.flatMap((watch) => watch.told);
    const events = [...history.revisions.values()].flat();
    return {
      violations,
      revisions: revision - this.#start,
      events: events.length,
      watches: this.#watches.length,
      toldEvents: told.reduce((sum, one) => sum + (one.kind === "revision" ? one.events.length : 0), 0),
      acknowledged: this.#acknowledged.length,
      disturbances: this.#disturbances,
      compactions: this.#compactions,
      lostToCompaction: told.filter((one) => one.kind === "lost").length,
      expired: events.filter(({ type, kv }) => type === "delete" && this.#leaseKeys.has(kv.key)).length,
    };
  }

  #isEnough(): boolean {
    const { durationMsMin, revisionsMin } = this.#options;
    return performance.now() - this.#startedMs >= durationMsMin && this.#newest - this.#start >= revisionsMin;
  }

  async #untilExpired(): Promise<void> {
    for (;;) {
      const { count } = await this.#options.steady.range({ ...prefixRange(`${prefix}leased-`), countOnly: true });
      if (count === 0) return;
      await pause(50);
    }
  }

  async #compact(): Promise<void> {
    const revision = this.#newest - keptRevisions;
    if (revision <= Math.max(this.#compacted, this.#start)) return;
    await this.#reader.readThrough(revision);
    await this.#options.steady.compact(revision);
    this.#compacted = revision;
    this.#compactions++;
  }

  #watch(name: string, request: Omit<WatchRecorder["request"], "clusterId">): WatchRecorder {
    const watch = new WatchRecorder(this.#options.disturbed, name, { ...request, clusterId: this.#clusterId });
    this.#watches.push(watch);
    return watch;
  }

  /** As who watches does: lists again and watches from there. */
  #reopenLost(): void {
    const standing = ["everything", "half", "one key", "from a key on"];
    for (const watch of this.#watches.filter((one) => one.told.at(-1)?.kind === "lost")) {
      if (!standing.includes(watch.name)) continue;
      if (this.#watches.some((other) => other.name === watch.name && !other.ended)) continue;
      this.#watch(watch.name, { ...watch.request, from: this.#newest + 1 });
    }
  }
}

function chooseWrites(
  random: Random,
  value: string,
): { operations: readonly Operation[]; writes: ReadonlyMap<string, string | undefined> } {
  const kind = random();
  const first = below(random, keyCount);
  const put = (index: number): Operation => ({
    type: "put",
    put: { key: keyAt(index % keyCount), value: Buffer.from(value) },
  });
  const written = (count: number): Map<string, string> =>
    new Map(Array.from({ length: count }, (_, index) => [keyAt((first + index) % keyCount), value]));
  if (kind < 0.5) return { operations: [put(first)], writes: written(1) };
  if (kind < 0.75) {
    const count = 2 + below(random, 5);
    return { operations: Array.from({ length: count }, (_, index) => put(first + index)), writes: written(count) };
  }
  // What a deletion finds depends on the others: nothing that could be written down.
  const end = kind < 0.9 ? undefined : keyAt(first + 3);
  const range = { key: keyAt(first), ...(end === undefined ? {} : { end }) };
  const operations: Operation[] = [{ type: "delete", delete: range }];
  if (kind < 0.8) operations.push(put(first + 5));
  return { operations, writes: kind < 0.8 ? new Map([[keyAt((first + 5) % keyCount), value]]) : new Map() };
}

/** Until a watch told the last event that it owes. */
async function untilTold(watch: WatchRecorder, history: History): Promise<void> {
  let last = 0;
  for (const [revision, events] of history.revisions) {
    const owed = events.some(({ kv }) => inRange(watch.request, kv.key));
    if (owed && revision >= watch.request.from) last = Math.max(last, revision);
  }
  await watch.bell.until(
    () => watch.ended || watch.toldThrough >= last || undefined,
    () => `revision ${last} on the watch "${watch.name}", which is at ${watch.toldThrough}`,
  );
}
