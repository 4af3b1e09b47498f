import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualScope } from "../../../../tests/kit/scope.ts";
import { pass, settled } from "../../../../tests/kit/fake-timers.ts";
import type { Backup } from "../../../../tests/kit/fake-store.ts";
import { assertSame, prefix, replicate, textsOf, type Replica } from "./replicate.fixtures.ts";
import { keyOf } from "./store/keys.ts";
import type { Key, KeyValue, Operation } from "./store/store.ts";

type Step =
  | { readonly do: "write"; readonly writes: readonly (readonly [key: number, value: number])[] }
  | { readonly do: "cut" | "mend" | "compact" | "lag" | "pump" | "progress" | "backup" | "restore" | "replace" }
  | { readonly do: "wait"; readonly ms: number };

// Few keys, so that the same ones are written, deleted and lost again and again; the value 0 is a deletion.
const write = fc.record({
  do: fc.constant("write" as const),
  writes: fc.uniqueArray(fc.tuple(fc.nat(7), fc.nat(5)), { minLength: 1, maxLength: 6, selector: ([key]) => key }),
});
const fault = fc.record({
  do: fc.constantFrom("cut", "mend", "compact", "lag", "pump", "progress", "backup", "restore", "replace"),
});
const wait = fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 1, 100, 1_200, 9_000) });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: write },
  { weight: 3, arbitrary: fault },
  { weight: 2, arbitrary: wait },
);

/** What the store held at each revision of its history; told changes are checked against it as they come. */
class Truth {
  readonly states = new Map<number, Record<string, string>>();

  note(replica: Pick<Replica, "store">): void {
    this.states.set(replica.store.revision, textsOf(replica.store.contents(prefix)));
  }
}

function operations(writes: readonly (readonly [number, number])[]): Operation[] {
  return writes.map(([key, value]) => {
    const name = keyOf(`${prefix}routes/r${key}`);
    return value === 0
      ? { type: "delete", delete: { key: name } }
      : { type: "put", put: { key: name, value: Buffer.from(`v${value}`) } };
  });
}

async function run(steps: readonly Step[], seed: number): Promise<void> {
  const scope = new ManualScope();
  const shadow = new Map<Key, KeyValue>();
  const truth = new Truth();
  let lastRevision = 0;
  let backup: Backup | undefined;
  const replica = await replicate(scope, {
    seed,
    antiEntropyMs: 4_000,
    pageKeys: 2,
    onChange: ({ revision, set, deleted, cause }) => {
      for (const kv of set) shadow.set(kv.key, kv);
      for (const key of deleted) assert.ok(shadow.delete(key), `${key} was told as deleted and was not there`);
      assert.ok(set.length + deleted.length > 0, "an empty change was told");
      assert.notEqual(cause, "drift", "nothing was lost");
      if (cause === "watch") assert.ok(revision > lastRevision, "a watch goes forward");
      lastRevision = revision;
      assert.deepEqual(textsOf(shadow), truth.states.get(revision), `the state told is that of revision ${revision}`);
    },
  });
  truth.note(replica);
  const { store } = replica;
  for (const step of steps) {
    switch (step.do) {
      case "write":
        // The state is noted before the watch tells it: the store tells in the turn of the write.
        truth.states.set(store.revision + 1, after(textsOf(store.contents(prefix)), step.writes));
        store.commit(operations(step.writes));
        break;
      case "wait":
        await pass(replica.clock, step.ms, 300);
        break;
      case "backup":
        backup = store.backup();
        break;
      case "restore":
      case "replace":
        if (backup === undefined) break;
        for (const revision of truth.states.keys()) if (revision > backup.revision) truth.states.delete(revision);
        store.restore(backup, step.do === "replace" ? String(Number(store.clusterId) + 1) : undefined);
        truth.note(replica);
        lastRevision = 0;
        break;
      case "lag":
        store.lagging = true;
        break;
      case "compact":
        store.compactNow();
        break;
      case "cut":
      case "mend":
      case "pump":
      case "progress":
        store[step.do]();
        break;
    }
    // Writes elsewhere and reads between steps change nothing under the prefix.
    if (!truth.states.has(store.revision)) truth.note(replica);
    await settled();
  }
  store.mend();
  store.pump();
  await pass(replica.clock, 60_000, 1_000);
  assertSame(replica);
  assert.deepEqual(textsOf(shadow), replica.copy());
  assert.equal(replica.replicator.state.connected, true);
  await scope.close();
}

function after(before: Record<string, string>, writes: readonly (readonly [number, number])[]): Record<string, string> {
  const state = { ...before };
  for (const [key, value] of writes) {
    if (value === 0) delete state[`${prefix}routes/r${key}`];
    else state[`${prefix}routes/r${key}`] = `v${value}`;
  }
  return Object.fromEntries(Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1)));
}

test("through writes, cuts, compactions and restores each change told is a state of the store, and the copy ends as the store", async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), fc.nat(1_000_000), run), {
    numRuns: 150,
  });
});
