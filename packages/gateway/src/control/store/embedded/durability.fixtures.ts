import { systemClock, systemRandom } from "../../../core/clock.ts";
import { silentLog } from "../../../core/log.ts";
import { systemTimers } from "../../../core/timers.ts";
import type { Put } from "../store.ts";
import { openEmbedded } from "./open.ts";

/**
 * The process that durability.test.ts kills: `durability.fixtures.ts <dataDir> <first number>`. Writes transactions
 * without an end, several at a time, each three keys with its number, and prints `<number> <revision>` for each that was
 * acknowledged.
 */
const [dataDir = "", first = "0"] = process.argv.slice(2);
const writersMax = 8;

const store = openEmbedded({
  dataDir,
  clock: systemClock,
  timers: systemTimers,
  random: systemRandom,
  log: silentLog,
  historyRevisionsMin: 100_000,
});

let next = Number(first);

async function write(): Promise<void> {
  for (;;) {
    const number = next++;
    const value = Buffer.from(`${number}`.padEnd(1 + ((number * 37) % 6_000), "."));
    const put = (key: string): { type: "put"; put: Put } => ({ type: "put", put: { key, value } });
    const { revision } = await store.txn({ compare: [], then: [put(`a/${number % 5}`), put("b"), put(`c/${number}`)] });
    process.stdout.write(`${number} ${revision}\n`);
    if (number % 50 === 0) await store.compact(Math.max(1, revision - 500)).catch(() => undefined);
  }
}

await Promise.all(Array.from({ length: writersMax }, write));
