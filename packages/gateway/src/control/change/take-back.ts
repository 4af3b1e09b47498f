import type { Clock, Random } from "../../core/clock.ts";
import type { Timers } from "../../core/timers.ts";
import { changesPrefix, parseKey, resourceKey } from "../layout.ts";
import { prefixRange } from "../store/keys.ts";
import type { Key, Store } from "../store/store.ts";
import { ChangeError } from "./change-error.ts";
import { parsePending, planUndo, type PendingChange } from "./pending.ts";
import { planWrites } from "./plan.ts";
import { readKeys } from "./read.ts";
import { newChangeId } from "./record.ts";
import type { TransactionLimits } from "./split.ts";
import { noProgress, writePlan, type ChangeJob } from "./write.ts";

export interface TakeBackParts {
  readonly store: Store;
  readonly prefix: Key;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly author: string;
  readonly limits?: TransactionLimits;
}

/** So often it is planned anew because resources changed meanwhile; the caller tries again later. */
const triesMax = 5;

/**
 * Takes an unconfirmed change back in the store and records that. What somebody changed since stays, and is answered
 * (and named in the record). Answers undefined where it was confirmed or taken back before. Rejects with a StoreError or
 * a ChangeError where it could not be done.
 */
export async function takeBack(
  parts: TakeBackParts,
  known: PendingChange,
  key: Key,
): Promise<readonly string[] | undefined> {
  const { store, prefix, clock, random, author } = parts;
  const progress = noProgress();
  let job: ChangeJob | undefined;
  for (let tries = 1; tries <= triesMax; tries++) {
    const records = await store.range({ ...prefixRange(changesPrefix(prefix)), keysOnly: true });
    const resources = known.undo.map(({ kind, name }) => resourceKey(prefix, kind, name));
    const stored = await readKeys(store, [key, ...resources]);
    const confirm = stored.get(key);
    const pending = confirm === undefined ? undefined : parsePending(prefix, confirm);
    if (confirm === undefined || pending === undefined) return undefined;
    const { wanted, left } = planUndo(prefix, pending, confirm, stored);
    const recordKeys = records.kvs.map((kv) => kv.key);
    const ids = recordKeys.flatMap((recordKey) => {
      const parsed = parseKey(prefix, recordKey);
      return parsed.area === "change" ? [parsed.id] : [];
    });
    const stays = left.length === 0 ? "" : `; changed since and left as they are: ${left.join(", ")}`;
    job = {
      id: job?.id ?? newChangeId(clock.wall(), ids, random),
      facts: {
        author,
        time: new Date(clock.wall()).toISOString(),
        message: `change ${pending.change} was not confirmed in time${stays}`,
        action: "unconfirmed",
        of: pending.change,
      },
      // Once it is confirmed, or somebody else has taken it back, nothing of this may be written any more.
      guards: [{ key, is: "=", target: "mod", number: confirm.modRevision }],
      first: () => [],
      last: [{ type: "delete", delete: { key } }],
    };
    const { writes } = planWrites(prefix, stored, wanted);
    const basis = { revision: records.revision, resources: stored, recordKeys };
    if ((await writePlan(parts, basis, writes, job, progress)) === "done") return left;
  }
  throw new ChangeError("conflict", `Others changed the same resources ${triesMax} times meanwhile.`);
}
