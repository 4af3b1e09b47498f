import type { Preconditions } from "../control/change/change.ts";
import { AdminError } from "./problem.ts";

/** A resource's ETag: its revision in the store, or `"file"` where a file says it. */
export function etagOf(revision: number | null): string {
  return revision === null ? '"file"' : `"${revision}"`;
}

interface Tag {
  /** With its quotes. */
  readonly opaque: string;
  readonly weak: boolean;
}

/** A list of entity tags or `*`, RFC 9110 §13.1.1. Throws an AdminError with 400 where it is neither. */
export function parseTags(name: string, header: string): "*" | readonly Tag[] {
  const text = header.trim();
  if (text === "*") return "*";
  const tags: Tag[] = [];
  const one = /[\t ]*(?:(W\/)?("[\x21\x23-\x7e\x80-\xff]*")[\t ]*)?(?:,|$)/y;
  while (one.lastIndex < text.length) {
    const found = one.exec(text);
    if (found === null)
      throw new AdminError(
        400,
        `${name} is no list of ETags: send it as it was received, such as "12" with its quotes.`,
      );
    if (found[2] !== undefined) tags.push({ opaque: found[2], weak: found[1] !== undefined });
  }
  return tags;
}

/**
 * What a write asks for, as the change engine takes it: it alone can compare and write in one step. Tags that are no
 * revision, and weak ones in If-Match, match nothing (RFC 9110 §8.8.3.2). Throws an AdminError with 400.
 */
export function preconditionsOf(ifMatch: string | undefined, ifNoneMatch: string | undefined): Preconditions {
  const match = ifMatch === undefined ? undefined : parseTags("If-Match", ifMatch);
  const none = ifNoneMatch === undefined ? undefined : parseTags("If-None-Match", ifNoneMatch);
  return {
    ...(match === undefined ? {} : { ifMatch: match === "*" ? match : revisions(match.filter(({ weak }) => !weak)) }),
    ...(none === undefined ? {} : { ifNoneMatch: none === "*" ? none : revisions(none) }),
  };
}

function revisions(tags: readonly Tag[]): readonly number[] {
  return tags.flatMap(({ opaque }) => {
    const digits = /^"([1-9]\d{0,15})"$/.exec(opaque)?.[1];
    return digits === undefined ? [] : [Number(digits)];
  });
}

/**
 * What a GET of something with this ETag comes to, in the order of RFC 9110 §13.2.2: `changed` (412), `unchanged` (304),
 * or `send`. Throws an AdminError with 400.
 */
export function readOutcome(
  etag: string,
  ifMatch: string | undefined,
  ifNoneMatch: string | undefined,
): "changed" | "unchanged" | "send" {
  if (ifMatch !== undefined) {
    const tags = parseTags("If-Match", ifMatch);
    if (tags !== "*" && !tags.some(({ opaque, weak }) => !weak && opaque === etag)) return "changed";
  }
  if (ifNoneMatch !== undefined) {
    const tags = parseTags("If-None-Match", ifNoneMatch);
    if (tags === "*" || tags.some(({ opaque }) => opaque === etag)) return "unchanged";
  }
  return "send";
}
