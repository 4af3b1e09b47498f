/** What a parser made of a byte stream, in a form in which two parsers can be compared. */

export interface SeenMessage {
  /** Method and target, or status. */
  readonly line: string;
  /** Name, value, name, value. */
  readonly fields: readonly string[];
  /** Body bytes as latin1. */
  body: string;
  /** Trailer lines `name: value`. */
  trailers: readonly string[];
  /** Whether the message's end was found. */
  complete: boolean;
}

/**
 * How reading ended: all bytes read (`complete`), more needed (`incomplete`), refused, not a message of this connection
 * any more because it was to close, another protocol from here on, or a quirk behind which nothing can be compared.
 */
export type SeenEnd = "complete" | "incomplete" | "refused" | "closing" | "upgraded" | "incomparable";

export interface Seen {
  readonly messages: SeenMessage[];
  end: SeenEnd;
  /** Why it was refused. */
  reason: string;
}

export type Verdict =
  | { readonly kind: "agree" }
  /** Ours refuses what node takes: allowed, and counted by our reason. */
  | { readonly kind: "stricter"; readonly reason: string }
  /** Ours still waits where node has refused; whether it would accept needs more bytes. */
  | { readonly kind: "undecided"; readonly reason: string }
  /** Ours takes what node refuses, or sees another message in the same bytes. */
  | { readonly kind: "differs"; readonly reason: string };

const agree: Verdict = { kind: "agree" };

function differs(reason: string): Verdict {
  return { kind: "differs", reason };
}

/** Judges ours by node's. Anything but a stricter refusal that separates the two differs. */
export function compare(ours: Seen, theirs: Seen): Verdict {
  const count = Math.max(ours.messages.length, theirs.messages.length);
  for (let i = 0; i < count; i++) {
    const verdict = compareMessage(ours, theirs, i);
    if (verdict !== undefined) return verdict;
  }
  return compareEnds(ours, theirs);
}

/** undefined: both saw the same whole message; go on with the next. */
function compareMessage(ours: Seen, theirs: Seen, i: number): Verdict | undefined {
  const our = ours.messages[i];
  const their = theirs.messages[i];
  if (our === undefined || their === undefined)
    return compareEnds(ours, theirs, our !== undefined, their !== undefined);
  if (our.line !== their.line) return differs(`message ${i}: ours ${our.line}, node ${their.line}`);
  if (our.fields.length !== their.fields.length || our.fields.some((text, at) => text !== their.fields[at])) {
    return differs(`message ${i}: fields ${JSON.stringify(our.fields)}, node ${JSON.stringify(their.fields)}`);
  }
  const last = (seen: Seen): boolean => i === seen.messages.length - 1;
  if ((ours.end === "upgraded" && last(ours)) || (theirs.end === "upgraded" && last(theirs))) return agree;
  if (our.complete && their.complete) {
    if (our.body !== their.body)
      return differs(`message ${i}: body ${JSON.stringify(our.body)}, node ${JSON.stringify(their.body)}`);
    const invented = our.trailers.find((line) => !their.trailers.includes(line));
    return invented === undefined ? undefined : differs(`message ${i}: trailer ${invented} that node does not see`);
  }
  if (our.complete) return differs(`message ${i}: ours ends, node ${theirs.end} ${theirs.reason}`);
  if (ours.end === "refused")
    return theirs.end === "refused" && !their.complete ? agree : { kind: "stricter", reason: ours.reason };
  if (their.complete) return differs(`message ${i}: node sees its end, ours waits`);
  return theirs.end === "refused" ? { kind: "undecided", reason: theirs.reason } : agree;
}

function compareEnds(ours: Seen, theirs: Seen, oursHasMore = false, theirsHasMore = false): Verdict {
  if (theirs.end === "incomparable") return agree;
  if (ours.end === "closing" && !oursHasMore) return agree;
  if (ours.end === "refused" && !oursHasMore) {
    return theirs.end === "refused" && !theirsHasMore ? agree : { kind: "stricter", reason: ours.reason };
  }
  if (theirs.end === "closing" && !theirsHasMore) {
    return oursHasMore ? differs("ours reads on where node closes") : agree;
  }
  if (oursHasMore) return differs(`ours accepts a head that node does not: ${theirs.end} ${theirs.reason}`);
  if (theirsHasMore) return differs(`node accepts a head where ours is ${ours.end}`);
  if (theirs.end === "refused") return { kind: "undecided", reason: theirs.reason };
  return agree;
}
