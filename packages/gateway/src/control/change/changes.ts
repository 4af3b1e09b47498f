import type { Random } from "../../core/clock.ts";
import { systemRandom } from "../../core/clock.ts";
import { globalSettings, resourceKey, resourceNameProblem, type Kind } from "../layout.ts";
import type { KeyValue } from "../store/store.ts";
import type {
  ApplyOptions,
  ApplyResult,
  Change,
  ChangeOptions,
  Preconditions,
  ResourceResult,
  ResourceWrite,
} from "./change.ts";
import { ChangeError } from "./change-error.ts";
import { confirmChange } from "./confirm.ts";
import { pruned, resourcesOf, withoutEmptyChain } from "./documents.ts";
import { recordedChanges, tellHistory, type HistoryQuery } from "./history.ts";
import { makeChange, type MakeParts } from "./make.ts";
import { planWrites, type Plan } from "./plan.ts";
import { namedMax, readAll, readNamed, type Basis, type Replica } from "./read.ts";
import { planRollback, readPast } from "./roll-back.ts";

export interface ChangesOptions extends Omit<MakeParts, "replica" | "random">, Replica {
  readonly random?: Random;
  /** `Confirmations.remainingMs` of this gateway. */
  readonly remainingMs?: (change: string) => number | undefined;
}

/**
 * Changes of the configuration in the store: planned against what is there, judged, written as one transaction where the
 * limits allow it, recorded. Everything rejects with a ChangeError or a StoreError.
 */
export class Changes {
  readonly #options: ChangesOptions;
  readonly #parts: MakeParts;

  constructor(options: ChangesOptions) {
    this.#options = options;
    this.#parts = { ...options, random: options.random ?? systemRandom, replica: options };
  }

  /** Makes the store hold these documents: parsed, as they were written. */
  async apply(documents: readonly unknown[], options: ApplyOptions): Promise<ApplyResult> {
    const { prefix } = this.#parts;
    const read = resourcesOf(documents);
    const plan = (basis: Basis): Plan => {
      const { wanted, problems } = options.prune === true ? pruned(prefix, read, basis.resources.keys()) : read;
      const hasChain = basis.resources.has(resourceKey(prefix, "settings", globalSettings));
      const planned = planWrites(prefix, basis.resources, withoutEmptyChain(wanted, hasChain));
      return { ...planned, problems: [...problems, ...planned.problems] };
    };
    const reading = options.prune === true ? () => this.#readAll() : () => this.#read(read.wanted);
    const made = await makeChange(this.#parts, { action: "apply", options, read: reading, plan });
    return made.result;
  }

  /** Creates or replaces one resource. */
  put(kind: Kind, name: string, value: unknown, options: ChangeOptions & Preconditions): Promise<ResourceResult> {
    return this.#write("put", { kind, name, value: value === undefined ? null : value }, options);
  }

  /** Deletes one resource; `not-found` where there is none. */
  delete(kind: Kind, name: string, options: ChangeOptions & Preconditions): Promise<ResourceResult> {
    return this.#write("delete", { kind, name, value: undefined }, options);
  }

  /** Who changed what, newest first; from this gateway's copy, also while the store is out of reach. */
  history(query: HistoryQuery = {}): readonly Change[] {
    return tellHistory(recordedChanges(this.#options.prefix, this.#options.kvs.values()), query);
  }

  /** Makes the configuration what it was at a revision, as a new change. */
  async rollback(revision: number, options: ChangeOptions): Promise<ApplyResult> {
    const { store, prefix } = this.#parts;
    if (!Number.isSafeInteger(revision) || revision < 1) {
      throw new ChangeError("bad-request", "A revision is a whole number from 1: choose one that the history shows.");
    }
    const past = await readPast(store, prefix, this.#options.kvs, revision);
    const message = options.message ?? `back to revision ${revision}`;
    const made = await makeChange(this.#parts, {
      action: "rollback",
      options: { ...options, message },
      read: () => this.#readAll(),
      plan: (basis) => planRollback(prefix, basis, past, revision),
    });
    return made.result;
  }

  /** Lets a change stay that would take itself back; without an id the only one that waits. */
  async confirm(change?: string): Promise<{ readonly change: string }> {
    const { store, prefix, clock, log } = this.#parts;
    const remainingMs = this.#options.remainingMs ?? (() => undefined);
    const confirmed = await confirmChange({ store, prefix, clock, remainingMs }, change);
    log.info({ change: confirmed }, "a change was confirmed");
    return { change: confirmed };
  }

  async #write(
    action: "put" | "delete",
    write: ResourceWrite,
    options: ChangeOptions & Preconditions,
  ): Promise<ResourceResult> {
    const { prefix, store } = this.#parts;
    const { kind, name } = write;
    const key = resourceKey(prefix, kind, name);
    let held: KeyValue | undefined;
    const made = await makeChange(this.#parts, {
      action,
      options,
      read: () => readNamed(store, prefix, [key]),
      plan: (basis) => {
        held = basis.resources.get(key);
        checkPreconditions(options, held, `${kind}/${name}`);
        if (action === "delete" && held === undefined) throw notFound(kind, name);
        return planWrites(prefix, basis.resources, [write]);
      },
    });
    const { result } = made;
    const written = result.change !== null;
    const there = written ? result.revision : (held?.modRevision ?? 0);
    return {
      ...result,
      created: written && held === undefined,
      modRevision: written && action === "delete" ? 0 : there,
    };
  }

  #read(wanted: readonly ResourceWrite[]): Promise<Basis> {
    const { store, prefix } = this.#parts;
    const named = wanted.filter(({ kind, name }) => resourceNameProblem(kind, name) === undefined);
    if (named.length > namedMax) return this.#readAll();
    const keys = named.map(({ kind, name }) => resourceKey(prefix, kind, name));
    return readNamed(store, prefix, keys);
  }

  #readAll(): Promise<Basis> {
    const { store, prefix } = this.#parts;
    return readAll(store, prefix, this.#options);
  }
}

function checkPreconditions({ ifMatch, ifNoneMatch }: Preconditions, held: KeyValue | undefined, what: string): void {
  const modRevision = held?.modRevision ?? 0;
  const matches = (revisions: "*" | readonly number[]): boolean =>
    held !== undefined && (revisions === "*" || revisions.includes(modRevision));
  const facts = { modRevision };
  if (ifMatch !== undefined && !matches(ifMatch)) {
    const now = held === undefined ? "does not exist" : `was changed meanwhile, at revision ${modRevision}`;
    throw new ChangeError("precondition-failed", `${what} ${now}: read it again and repeat the change on that.`, facts);
  }
  if (ifNoneMatch !== undefined && matches(ifNoneMatch)) {
    const message = `${what} exists already, since revision ${modRevision}: leave out If-None-Match to replace it.`;
    throw new ChangeError("precondition-failed", message, facts);
  }
}

function notFound(kind: Kind, name: string): ChangeError {
  return new ChangeError("not-found", `There is no ${kind}/${name}: nothing was deleted.`);
}
