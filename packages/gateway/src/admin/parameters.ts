import { formatDuration, parseDuration, suggestion } from "@headgate/schema";
import { confirmMsMax, confirmMsMin } from "../control/change/pending.ts";
import { isKind, kinds, type Kind } from "../control/layout.ts";
import { AdminError } from "./problem.ts";

/** Longest `wait`: beyond it a connection in between has given up. */
const waitMsMax = 10 * 60_000;
/** Changes that one answer lists; a store keeps no more. */
const changesMax = 200;
const changesDefault = 50;
/** Characters. */
export const messageLengthMax = 1_024;
/** Characters. */
const authorLengthMax = 256;

/** Who changed what is recorded under this name unless `x-headgate-author` says another. */
export const defaultAuthor = "admin-api";

interface Described {
  readonly description: string;
  /** JSON Schema. */
  readonly schema: object;
}

const duration = { type: "string", pattern: "^(?:\\d+(?:\\.\\d+)?(?:ms|s|m|h))+$", examples: ["10s"] };

/** Every query parameter of the admin API. */
export const queryParameters = {
  details: { description: "Answers items with source, key, revision and problems.", schema: { type: "boolean" } },
  dryRun: { description: "Says what would change and changes nothing.", schema: { type: "boolean" } },
  message: { description: "Why; recorded.", schema: { type: "string", maxLength: messageLengthMax } },
  wait: { description: "Answers when every gateway runs it, or after this time.", schema: duration },
  format: { description: "Default: what `Accept` asks for, else YAML.", schema: { enum: ["yaml", "json"] } },
  secrets: { description: "Shows secrets instead of `[redacted]`.", schema: { type: "boolean" } },
  limit: {
    description: "The newest so many.",
    schema: { type: "integer", minimum: 1, maximum: changesMax, default: changesDefault },
  },
  kind: { description: "Only changes of this kind of resource.", schema: { enum: kinds } },
  state: {
    description: "Only messages in this state.",
    schema: { enum: ["waiting", "delivering", "dead"] },
  },
  route: { description: "Only messages of this route.", schema: { type: "string" } },
  service: { description: "Only messages of this service.", schema: { type: "string" } },
  cursor: { description: "The `cursor` of the page before: goes on behind it.", schema: { type: "string" } },
  name: { description: "Only changes of the resource of this name; with `kind`.", schema: { type: "string" } },
} as const satisfies Readonly<Record<string, Described>>;

export type QueryName = keyof typeof queryParameters;

/** Every header of a request that the admin API reads, beside those of HTTP itself. */
export const headerParameters = {
  "If-Match": {
    description: "Only if this is (one of) the ETag(s), or with `*` if it exists.",
    schema: { type: "string" },
  },
  "If-None-Match": {
    description: "Only if this is not the ETag, or with `*` if it does not exist.",
    schema: { type: "string" },
  },
  "Last-Event-ID": { description: "Resumes behind this event.", schema: { type: "string", pattern: "^\\d+$" } },
  "X-Headgate-Author": {
    description: `Who changes it; recorded. Default: \`${defaultAuthor}\`.`,
    schema: { type: "string", maxLength: authorLengthMax },
  },
} as const satisfies Readonly<Record<string, Described>>;

export type HeaderName = keyof typeof headerParameters;

/**
 * Refuses parameters that are not known, and those given twice: a misspelt `dryrun=true` would change what was only to be
 * looked at. Throws an AdminError with 400.
 */
export function checkQuery({ pathname, searchParams }: URL, known: readonly QueryName[]): void {
  for (const name of new Set(searchParams.keys())) {
    if (!(known as readonly string[]).includes(name)) {
      // asked whether it is one
      const hint = suggestion(name, known) ?? (known.length === 0 ? "it takes none" : `it takes ${known.join(", ")}`);
      throw new AdminError(400, `${pathname} has no parameter "${name}": ${hint}${hint.endsWith("?") ? "" : "."}`);
    }
    if (searchParams.getAll(name).length > 1)
      throw new AdminError(400, `The parameter "${name}" is given twice: send it once.`);
  }
}

/** Whether it is `true`; absent is `false`. Throws an AdminError with 400. */
export function flag(url: URL, name: QueryName): boolean {
  const text = url.searchParams.get(name) ?? "false";
  if (text !== "true" && text !== "false")
    throw new AdminError(400, `${name} is "${text}": send ${name}=true or ${name}=false.`);
  return text === "true";
}

/** Milliseconds to wait for every gateway. Throws an AdminError with 400. */
export function waitMs(text: string | null | undefined): number | undefined {
  return durationMs("wait", text, 0, waitMsMax);
}

/** Milliseconds until a change takes itself back. Throws an AdminError with 400. */
export function confirmMs(text: string | null | undefined): number | undefined {
  return durationMs("confirm", text, confirmMsMin, confirmMsMax);
}

function durationMs(name: string, text: string | null | undefined, min: number, max: number): number | undefined {
  if (text === null || text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms === undefined) throw new AdminError(400, `${name} is "${text}": send a duration such as "10s" or "1m".`);
  if (ms < min || ms > max) {
    throw new AdminError(400, `${name} is "${text}": send ${formatDuration(min)} to ${formatDuration(max)}.`);
  }
  return ms;
}

/** Why somebody changes something. Throws an AdminError with 400. */
export function messageOf(text: string | null | undefined): string | undefined {
  if (text === null || text === undefined) return undefined;
  if (text.length > messageLengthMax) {
    throw new AdminError(400, `The message has ${text.length} characters: send at most ${messageLengthMax}.`);
  }
  return text;
}

/** Who asks, of `x-headgate-author`. Throws an AdminError with 400 where that could not be printed. */
export function authorOf(header: string | undefined): string {
  const author = header === undefined ? "" : utf8(header).trim();
  if (author === "") return defaultAuthor;
  if (author.length > authorLengthMax || /\p{C}/u.test(author)) {
    throw new AdminError(400, `x-headgate-author takes at most ${authorLengthMax} printable characters.`);
  }
  return author;
}

/** Header values arrive one character for each byte; most who send more than ASCII send UTF-8. */
function utf8(header: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(header, "latin1"));
  } catch {
    return header;
  }
}

/** Throws an AdminError with 400. */
export function limitOf(url: URL): number {
  const text = url.searchParams.get("limit") ?? String(changesDefault);
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > changesMax) throw new AdminError(400, `limit is "${text}": send 1 to ${changesMax}.`);
  return limit;
}

/** Which kind or resource a list is narrowed to. Throws an AdminError with 400. */
export function resourceFilter(url: URL): { readonly kind?: Kind; readonly name?: string } {
  const kind = url.searchParams.get("kind");
  const name = url.searchParams.get("name");
  if (kind === null) {
    if (name !== null) throw new AdminError(400, "name has no meaning alone: send kind too.");
    return {};
  }
  if (!isKind(kind)) {
    throw new AdminError(
      400,
      `There is no kind "${kind}": ${suggestion(kind, kinds) ?? `send one of ${kinds.join(", ")}.`}`,
    );
  }
  return name === null ? { kind } : { kind, name };
}
