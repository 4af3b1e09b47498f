/** States that follow from their number, and a process that saves one after the other until it is killed. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { systemTimers } from "../core/timers.ts";
import { openLastGood, type LastGood } from "./last-good.ts";

const recordsMax = 60;

/** The records of state `n`: some are there, each changes at its own pace. None in state 0. */
export function stateAt(n: number): Map<string, string> {
  const records = new Map<string, string>();
  if (n === 0) return records;
  for (let i = 0; i < recordsMax; i++) {
    if ((n + i) % 11 !== 0) records.set(`routes/r${i}`, `${i}:${Math.floor(n / (1 + (i % 5)))}:${"x".repeat(i * 20)}`);
  }
  return records;
}

/** Without the values, which are long: a failure shows what differs. */
export function assertState(records: ReadonlyMap<string, string> | undefined, n: number, message = ""): void {
  const wanted = stateAt(n);
  const differing = [...wanted.keys(), ...(records?.keys() ?? [])].filter((id) => records?.get(id) !== wanted.get(id));
  assert.deepEqual(differing, [], `${message} differs from state ${n}`);
}

/** Saves state `n` after state `n - 1`. */
export function saveStep(lastGood: LastGood, n: number): void {
  const before = stateAt(n - 1);
  const records = stateAt(n);
  if (n % 50 === 0) {
    lastGood.replaceAll({ revision: n, clusterId: "7", records });
    return;
  }
  lastGood.save({
    revision: n,
    clusterId: "7",
    set: [...records].filter(([id, json]) => before.get(id) !== json),
    delete: [...before.keys()].filter((id) => !records.has(id)),
  });
}

/** Continues from what the file holds; says after each write how far it is. Runs until it is killed. */
async function saveForEver(file: string): Promise<void> {
  const lastGood = openLastGood({ file, clock: systemClock, timers: systemTimers, log: silentLog });
  let n = lastGood.load()?.revision ?? 0;
  for (;;) {
    saveStep(lastGood, ++n);
    if (n % 3 === 0) {
      lastGood.flush();
      process.stdout.write(`${n}\n`);
    }
    await setImmediate();
  }
}

const [, main, file] = process.argv;
if (main === import.meta.filename && file !== undefined) await saveForEver(file);
