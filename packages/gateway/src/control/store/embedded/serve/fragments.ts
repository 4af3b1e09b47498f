import type { StoreEvent } from "../../store.ts";

/** Where etcd begins to fragment: its request limit of 1.5 MiB and its allowance of 512 KiB for gRPC. */
export const fragmentBytesMax = 2 * 1024 * 1024;

/** What an event takes on the wire beside keys and values, at most. */
const eventOverheadBytes = 64;

/** About what an event takes on the wire. */
export function eventBytes({ kv, previous }: StoreEvent, withPrevious: boolean): number {
  const bytes = kv.key.length + kv.value.length + eventOverheadBytes;
  if (!withPrevious || previous === undefined) return bytes;
  return bytes + previous.key.length + previous.value.length + eventOverheadBytes;
}

/** The answers that events are told in: one, or for who asked for fragments as many as keep under the limit. */
export function* fragments(
  events: readonly StoreEvent[],
  withPrevious: boolean,
  mayFragment: boolean,
): Generator<{ readonly part: readonly StoreEvent[]; readonly more: boolean }> {
  let part: StoreEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = eventBytes(event, withPrevious);
    if (mayFragment && part.length > 0 && bytes + size > fragmentBytesMax) {
      yield { part, more: true };
      part = [];
      bytes = 0;
    }
    part.push(event);
    bytes += size;
  }
  yield { part, more: false };
}
