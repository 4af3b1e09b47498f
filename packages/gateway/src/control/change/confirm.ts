import type { Clock } from "../../core/clock.ts";
import { changesPrefix, confirmPrefix, parseKey } from "../layout.ts";
import { prefixRange } from "../store/keys.ts";
import type { Key, KeyValue, Store } from "../store/store.ts";
import { ChangeError } from "./change-error.ts";
import { parsePending } from "./pending.ts";
import { isUnreachable } from "./read.ts";
import { recordedChanges } from "./history.ts";

export interface ConfirmParts {
  readonly store: Store;
  readonly prefix: Key;
  readonly clock: Clock;
  /** How long this gateway still waits for it, as `Confirmations.remainingMs` tells; undefined: it does not know it. */
  readonly remainingMs: (change: string) => number | undefined;
}

/** An answer may be lost, and a change that grows while it is made has its key written again. */
const triesMax = 5;

/** Lets a change stay. Without an id: the one that waits. Answers its id. */
export async function confirmChange(parts: ConfirmParts, id: string | undefined): Promise<string> {
  const { store, prefix } = parts;
  let wanted = id;
  let sent = false;
  for (let tries = 1; tries <= triesMax; tries++) {
    const { kvs } = await store.range(prefixRange(confirmPrefix(prefix)));
    const waiting = kvs.flatMap((kv) => {
      const parsed = parseKey(prefix, kv.key);
      return parsed.area === "confirm" ? [{ id: parsed.id, kv }] : [];
    });
    const found = waiting.find((candidate) => candidate.id === (wanted ?? onlyOne(waiting.map((one) => one.id))));
    if (found === undefined) {
      // The lost answer was a yes, unless it came too late.
      if (wanted !== undefined && !(await wasTakenBack(parts, wanted)) && sent) return wanted;
      throw await notThere(parts, wanted);
    }
    wanted = found.id;
    if (remainingMs(parts, found) <= 0) throw tooLate(wanted);
    sent = true;
    if (await remove(store, found.kv)) return wanted;
  }
  throw new ChangeError("unanswered", `The store did not answer: look at the status whether ${wanted} still waits.`);
}

function onlyOne(ids: readonly string[]): string | undefined {
  if (ids.length <= 1) return ids[0];
  throw new ChangeError("conflict", `${ids.length} changes wait for confirmation: name one of ${ids.join(", ")}.`);
}

function remainingMs({ prefix, clock, remainingMs: own }: ConfirmParts, found: { id: string; kv: KeyValue }): number {
  const known = own(found.id);
  if (known !== undefined) return known;
  const pending = parsePending(prefix, found.kv);
  return pending === undefined ? 0 : pending.deadlineWallMs - clock.wall();
}

/** Whether the key is gone and it was us; of an unanswered call nobody knows. */
async function remove(store: Store, { key, modRevision }: KeyValue): Promise<boolean> {
  try {
    const { succeeded } = await store.txn({
      compare: [{ key, is: "=", target: "mod", number: modRevision }],
      then: [{ type: "delete", delete: { key } }],
    });
    return succeeded;
  } catch (error) {
    if (isUnreachable(error)) return false;
    throw error;
  }
}

async function notThere(parts: ConfirmParts, id: string | undefined): Promise<ChangeError> {
  if (id === undefined) return new ChangeError("not-waiting", "No change waits for confirmation.");
  if (await wasTakenBack(parts, id)) return tooLate(id);
  const message = `Change ${id} does not wait for confirmation: look for it in the history.`;
  return new ChangeError("not-waiting", message);
}

async function wasTakenBack({ store, prefix }: ConfirmParts, id: string): Promise<boolean> {
  const { kvs } = await store.range(prefixRange(changesPrefix(prefix)));
  return recordedChanges(prefix, kvs).some(({ action, of }) => action === "unconfirmed" && of === id);
}

function tooLate(id: string): ChangeError {
  return new ChangeError("too-late", `The time to confirm change ${id} is over, it is taken back: apply it again.`);
}
