import { isCompacted } from "./errors.ts";
import type { EventMessage, WatchResponse } from "./messages.ts";
import { numberOf, storeEvent } from "./translate.ts";
import type { StoreEvent } from "../store.ts";

/** What an answer of a watch stream means. */
export type WatchStep =
  | { readonly type: "revision"; readonly revision: number; readonly events: readonly StoreEvent[] }
  | { readonly type: "progress"; readonly revision: number }
  /** The watch is set up. `backwards`: this member's revision is lower than what was told; it lags, or was replaced. */
  | { readonly type: "created"; readonly backwards: boolean }
  | { readonly type: "lost"; readonly reason: "compacted" | "replaced" }
  /** The server ended the watch for another reason; open it again. */
  | { readonly type: "cancelled"; readonly refused: boolean; readonly reason: string };

/** Pieces of one answer are kept together up to this; more is told as `compacted`, and a listing finds what is there. */
const fragmentBytesMax = 512 * 1024 * 1024;

/**
 * Where a watch is: what was told, and what a response adds. No I/O. After etcd's clientv3 and Kubernetes' reflector,
 * with what they learnt the hard way:
 * - It resumes after the last revision *told*. The header's revision is no place to resume from: etcd stamps every batch
 *   of a watcher that catches up with the store's newest revision.
 * - A response is whole when its last fragment is there; etcd splits no revision over responses otherwise, so each
 *   revision in a whole response is complete.
 * - Another member may send again what was told (etcd#20221): revisions before `next` are dropped.
 */
export class WatchCursor {
  /** The first revision that was not told. */
  next: number;
  readonly #clusterId: string;
  #fragments: EventMessage[] = [];
  #fragmentBytes = 0;
  #progressTold = 0;

  constructor(from: number, clusterId: string) {
    this.next = from;
    this.#clusterId = clusterId;
  }

  /** A new stream begins: pieces of an answer that the last one did not finish will come again. */
  reopen(): void {
    this.#fragments = [];
    this.#fragmentBytes = 0;
  }

  /**
   * `trustsProgress`: whether the server's answers to progress requests wait for the events before them. Before 3.4.25
   * and 3.5.8 they overtake events (etcd#15220); then they only show that the server lives.
   */
  receive(response: WatchResponse, trustsProgress: boolean): WatchStep[] {
    const clusterId = response.header?.cluster_id ?? "0";
    if (clusterId !== "0" && clusterId !== this.#clusterId) return [{ type: "lost", reason: "replaced" }];
    const revision = numberOf(response.header?.revision ?? "0");
    if (response.canceled) return [this.#cancelled(response)];
    if (response.created) return [{ type: "created", backwards: revision < this.next - 1 }];
    if (response.events.length > 0 || this.#fragments.length > 0) return this.#events(response);
    // Sent for this watch alone it is in line with the watch's events, whatever the version.
    if (response.watch_id !== "-1" || trustsProgress) return this.#progress(revision);
    return [];
  }

  #cancelled(response: WatchResponse): WatchStep {
    const { cancel_reason: reason, compact_revision: compactRevision } = response;
    // A compaction cancels without a reason.
    if (compactRevision !== "0" || isCompacted(reason)) return { type: "lost", reason: "compacted" };
    const refused = reason.includes("permission denied") || reason.includes("auth token");
    return { type: "cancelled", refused, reason: reason === "" ? "etcd cancelled the watch" : reason };
  }

  #events(response: WatchResponse): WatchStep[] {
    for (const event of response.events) {
      this.#fragments.push(event);
      this.#fragmentBytes += (event.kv?.value.length ?? 0) + (event.prev_kv?.value.length ?? 0) + eventBytes;
    }
    if (this.#fragmentBytes > fragmentBytesMax) return [{ type: "lost", reason: "compacted" }];
    if (response.fragment) return [];
    const events = this.#fragments.map(storeEvent);
    this.reopen();
    return this.#revisions(events);
  }

  #revisions(events: readonly StoreEvent[]): WatchStep[] {
    const steps: WatchStep[] = [];
    let group: StoreEvent[] = [];
    for (const [index, event] of events.entries()) {
      const revision = event.kv.modRevision;
      if (revision < this.next) continue;
      group.push(event);
      if (events[index + 1]?.kv.modRevision === revision) continue;
      steps.push({ type: "revision", revision, events: group });
      group = [];
      this.next = revision + 1;
    }
    return steps;
  }

  #progress(revision: number): WatchStep[] {
    if (revision < this.next - 1 || revision <= this.#progressTold) return [];
    this.next = revision + 1;
    this.#progressTold = revision;
    return [{ type: "progress", revision }];
  }
}

/** What an event costs beside its values, roughly. */
const eventBytes = 200;

/** Whether a server of this version answers progress requests in line with the events: see `receive`. */
export function progressIsInLine(version: string): boolean {
  const [, major = 0, minor = 0, patch = 0] = (/^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  if (major !== 3) return major > 3;
  if (minor === 4) return patch >= 25;
  if (minor === 5) return patch >= 8;
  return minor > 5;
}
