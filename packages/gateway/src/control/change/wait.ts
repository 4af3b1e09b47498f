import type { Clock } from "../../core/clock.ts";
import type { Timers } from "../../core/timers.ts";
import type { Kind } from "../layout.ts";

/** A running gateway, as far as waiting for it goes. */
export interface NodeState {
  readonly id: string;
  /** That of what it runs. */
  readonly revision: number;
  readonly rejected: readonly {
    readonly kind: string;
    readonly name: string;
    /** The version that was rejected; absent or null where the store holds none. */
    readonly revision?: number | null;
    readonly message: string;
  }[];
}

export interface WaitedNode {
  readonly id: string;
  readonly revision: number;
  readonly ok: boolean;
  /** One sentence, where it is not ok. */
  readonly reason?: string;
}

export interface Waited {
  /** Every live gateway runs it. */
  readonly complete: boolean;
  readonly nodes: readonly WaitedNode[];
  /** Set where there is no gateway at all. */
  readonly reason?: string;
}

/** What the gateways are waited for: a revision, without rejecting any of these resources since `sinceRevision`. */
export interface WaitTarget {
  readonly revision: number;
  readonly sinceRevision: number;
  readonly resources: readonly { readonly kind: Kind; readonly name: string }[];
}

export interface WaitOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly nodes: () => readonly NodeState[];
  /** Calls the listener whenever `nodes` may answer anew; returns how to stop it. */
  readonly onNodes: (listener: () => void) => () => void;
}

/**
 * Resolves when every live gateway runs the target, when each of them has either done so or rejected a part of it, or
 * when the time is over. Gateways that end meanwhile no longer count; those that start do. Never rejects.
 */
export function waitForNodes(target: WaitTarget, timeoutMs: number, options: WaitOptions): Promise<Waited> {
  const { nodes, onNodes, timers, clock } = options;
  const startedMs = clock.now();
  const wanted = new Set(target.resources.map(({ kind, name }) => `${kind}/${name}`));
  return new Promise((resolve) => {
    const stops: (() => void)[] = [];
    let done = false;
    const finish = (waited: Waited): void => {
      done = true;
      for (const stop of stops) stop();
      resolve(waited);
    };
    const look = (late: boolean): void => {
      if (done) return;
      const states = nodes().map((node) => judgeNode(node, target, wanted));
      const settled = states.length > 0 && states.every((state) => state.state !== "behind");
      if (settled || late) finish(report(states, clock.now() - startedMs));
    };
    stops.push(
      timers.after(Math.max(0, timeoutMs), () => look(true)),
      onNodes(() => look(false)),
    );
    look(false);
  });
}

interface JudgedNode {
  readonly node: NodeState;
  readonly state: "runs" | "rejected" | "behind";
  readonly rejection?: string;
}

function judgeNode(node: NodeState, target: WaitTarget, wanted: ReadonlySet<string>): JudgedNode {
  if (node.revision < target.revision) return { node, state: "behind" };
  const rejected = node.rejected.find(
    ({ kind, name, revision }) =>
      wanted.has(`${kind}/${name}`) && (revision ?? target.sinceRevision) >= target.sinceRevision,
  );
  if (rejected === undefined) return { node, state: "runs" };
  return { node, state: "rejected", rejection: `It rejected ${rejected.kind}/${rejected.name}: ${rejected.message}` };
}

function report(states: readonly JudgedNode[], waitedMs: number): Waited {
  if (states.length === 0) {
    const reason = "No gateway reports to this store: nothing runs this revision yet.";
    return { complete: false, nodes: [], reason };
  }
  const nodes = states.map(({ node, state, rejection }): WaitedNode => {
    const { id, revision } = node;
    if (state === "runs") return { id, revision, ok: true };
    const behind = `It still ran revision ${revision} after ${(waitedMs / 1_000).toFixed(1)} s.`;
    return { id, revision, ok: false, reason: rejection ?? behind };
  });
  return { complete: nodes.every(({ ok }) => ok), nodes };
}
