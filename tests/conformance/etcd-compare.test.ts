import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import { Caller } from "./etcd-caller.ts";
import { runScript } from "./etcd-compare.ts";
import { startServed } from "./etcd-served.ts";
import { kvScript } from "./etcd-script-kv.ts";
import { streamScript } from "./etcd-script-streams.ts";
import type { Step } from "./etcd-script.ts";

/** Where ours answers otherwise, and why. Steps by their names. */
const differences: ReadonlyMap<string, string> = new Map([
  ["range: sorted by default", "etcd cuts to the limit before it sorts when no order is given; ours sorts first"],
  ["watch: compacted", "the header of etcd's cancellation has revision 0; ours has the store's"],
  ["watch: compacted, with an id", "as above"],
  ["watch: a compacted one beside one that is not", "as above"],
  ["other: alarms", "etcd 3.4 leaves the header out"],
]);

/** Of one difference; every revision after it differs too. */
const shownLengthMax = 700;

async function compare(t: TestContext, steps: readonly Step[]): Promise<void> {
  // The shortest lease follows from the election timeout: etcd's default is ours.
  const etcd = await startEtcd(t, { args: ["--heartbeat-interval=100", "--election-timeout=1000"] });
  const served = await startServed(t);
  const theirs = await runScript(new Caller(t, `127.0.0.1:${etcd.clientPort}`), steps);
  const ours = await runScript(new Caller(t, served.address), steps);
  const differing: string[] = [];
  for (const [name, expected] of theirs) {
    try {
      assert.deepEqual(ours.get(name), expected);
      if (differences.has(name)) differing.push(`${name}: is said to differ, and does not`);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (!differences.has(name)) differing.push(`${name}: ${text.slice(0, shownLengthMax)}`);
    }
  }
  assert.ok(differing.length === 0, `\n${differing.join("\n")}`);
  t.diagnostic(`${steps.length} steps`);
}

test("ranges, puts, deletions and transactions are answered as etcd answers them", { skip: etcdMissing }, async (t) => {
  await compare(t, kvScript);
});

test("watches and leases are answered as etcd answers them", { skip: etcdMissing }, async (t) => {
  await compare(t, streamScript);
});
