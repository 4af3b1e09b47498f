import type { StoreError } from "../store.ts";
import type { Batch } from "./store-file.ts";
import type { Version } from "./version.ts";

/** The writes of one turn of the event loop, and everybody who waits for their commit. */
export class PendingWrites implements Batch {
  readonly written: Version[] = [];
  readonly dropped: number[] = [];
  readonly leases = new Map<string, number | undefined>();
  compactedRevision?: number;
  readonly #waiting = Promise.withResolvers<void>();

  constructor() {
    // A lease that ends has nobody who waits for the commit; the failure is logged where it is seen.
    this.committed.catch(() => undefined);
  }

  get committed(): Promise<void> {
    return this.#waiting.promise;
  }

  // Not push(...versions): a deletion of 200,000 keys has more arguments than the stack takes.
  add(versions: readonly Version[]): void {
    for (const version of versions) this.written.push(version);
  }

  drop(rows: readonly number[]): void {
    for (const row of rows) this.dropped.push(row);
  }

  resolve(): void {
    this.#waiting.resolve();
  }

  reject(error: StoreError): void {
    this.#waiting.reject(error);
  }
}
