import type { ParsedKey } from "./layout.ts";
import type { ReportedProblem } from "./report.ts";
import { textOf } from "./store/keys.ts";
import type { Key, KeyValue } from "./store/store.ts";

/** Strays that are told one by one; of more only the number is. */
const toldMax = 100;
/** Keys are as long as etcd's largest request; a longer one is cut where people read it, and other gateways. */
const shownMax = 200;

/** Keys below the prefix that no part of the gateway reads: somebody's mistake, most often, who should hear of it. */
export class Strays {
  readonly #prefix: Key;
  readonly #problems = new Map<Key, ReportedProblem>();
  /** Grows whenever `problems` may tell something else. */
  changes = 0;

  constructor(prefix: Key) {
    this.#prefix = prefix;
  }

  set({ key, modRevision }: KeyValue, parsed: ParsedKey): void {
    this.changes++;
    this.#problems.set(key, {
      severity: "error",
      path: parsed.area === "resource" ? `${parsed.kind}.${parsed.name}` : printable(key.slice(this.#prefix.length)),
      message:
        parsed.area === "unknown"
          ? uncapitalized(parsed.reason)
          : "TLS is not available in this version: it is ignored",
      hint: "delete the key",
      key: printable(key),
      revision: modRevision,
    });
  }

  /** Whether it was one. */
  delete(key: Key): boolean {
    const found = this.#problems.delete(key);
    if (found) this.changes++;
    return found;
  }

  problems(): ReportedProblem[] {
    const told = [...this.#problems.values()].slice(0, toldMax);
    const more = this.#problems.size - told.length;
    if (more > 0) told.push({ severity: "error", path: "", message: `${more} more keys are not read` });
    return told;
  }
}

/** A sentence as the part of a message. */
function uncapitalized(sentence: string): string {
  return `${sentence.charAt(0).toLowerCase()}${sentence.slice(1).replace(/\.$/, "")}`;
}

/** Keys are bytes: those that are no text are shown as escapes. */
function printable(key: Key): string {
  const shown = JSON.stringify(textOf(key.slice(0, shownMax))).slice(1, -1);
  return key.length > shownMax ? `${shown}...` : shown;
}
