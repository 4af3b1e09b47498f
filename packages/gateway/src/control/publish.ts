import type { BuildFailure } from "../proxy/build-failure.ts";
import type { AheadRoute } from "../proxy/routes-ahead.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";

/** A worker that takes part in publications. */
export interface Member {
  readonly workerId: number;
  post(message: ToWorker): void;
  /** `undefined`: it is gone, or did not answer in time. */
  ask(message: ToWorker, accepts: (message: FromWorker) => boolean): Promise<FromWorker | undefined>;
  /** Ends the worker, so that it is replaced. */
  end(): void;
}

/** Why a worker cannot build a change. */
export interface Refused {
  readonly message: string;
  /** The resources that stand in the way; empty where it is something else. */
  readonly failures: readonly BuildFailure[];
}

/** `live`: on all workers. `refused`: a worker could not build it; all stay on what they have. */
export type PublishResult = { readonly outcome: "live" } | ({ readonly outcome: "refused" } & Refused);

interface Joining {
  readonly member: Member;
  readonly resolve: (refused: string | undefined) => void;
}

/**
 * Brings changes to all workers in two phases: each builds the snapshot beside the one it serves; only when all can,
 * all change over. One at a time, in the order of the calls. A worker that arrives later gets everything that is live
 * before it serves.
 */
export class Publisher {
  /** What was told ahead, for workers that arrive meanwhile and to find it again in the change. */
  #ahead: { readonly text: string; readonly routes: readonly AheadRoute[] }[] = [];
  readonly #members = new Set<Member>();
  readonly #joining: Joining[] = [];
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #whole: () => SnapshotChange | undefined;
  readonly #tryFirst: ((change: SnapshotChange) => Promise<Refused | undefined>) | undefined;
  #busy = false;
  #id = 0;

  /**
   * `whole`: the way from nothing to what is live; `undefined` before anything is. `tryFirst` says what would harm the
   * workers; they are not asked then.
   */
  constructor(
    whole: () => SnapshotChange | undefined,
    tryFirst?: (change: SnapshotChange) => Promise<Refused | undefined>,
  ) {
    this.#whole = whole;
    this.#tryFirst = tryFirst;
  }

  /**
   * Routes that the next `publish` will probably set: the workers make them ready while the rest of it is decided. Told
   * in parts, so that none of them holds anybody up.
   */
  ahead(routes: readonly AheadRoute[]): void {
    const text = JSON.stringify(routes);
    this.#ahead.push({ text, routes });
    for (const member of this.#members) member.post({ type: "ahead", text });
  }

  /** What was told ahead was published, or will not be. */
  forgetAhead(): void {
    if (this.#ahead.length === 0) return;
    this.#ahead = [];
    for (const member of this.#members) member.post({ type: "forget-ahead" });
  }

  /** `adopt` is called when all workers have built it, just before they change over: from then on it is what is live. */
  async publish(change: SnapshotChange, adopt: () => void): Promise<PublishResult> {
    // Not in the queue of what the workers are asked: one that arrives need not wait for it.
    const harmful = this.#tryFirst === undefined ? undefined : await this.#tryFirst(change);
    if (harmful !== undefined) return { outcome: "refused", ...harmful };
    return this.#enqueue(async () => {
      const { id, refused } = await this.#prepare(this.#withoutAhead(change));
      if (refused !== undefined) {
        for (const member of this.#members) member.post({ type: "abandon", id });
        return { outcome: "refused", ...refused };
      }
      adopt();
      await Promise.all([...this.#members].map((member) => commit(member, id)));
      return { outcome: "live" };
    });
  }

  /** Has all workers build a change and throw it away; resolves with why one could not. */
  async rehearse(change: SnapshotChange): Promise<Refused | undefined> {
    const harmful = this.#tryFirst === undefined ? undefined : await this.#tryFirst(change);
    if (harmful !== undefined) return harmful;
    return this.#enqueue(async () => {
      const { id, refused } = await this.#prepare(change);
      for (const member of this.#members) member.post({ type: "abandon", id });
      return refused;
    });
  }

  /** Resolves when the worker runs what is live, or with the reason why it cannot. */
  join(member: Member): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#joining.push({ member, resolve });
      this.#pump();
    });
  }

  leave(member: Member): void {
    this.#members.delete(member);
    const at = this.#joining.findIndex((joining) => joining.member === member);
    if (at >= 0) this.#joining.splice(at, 1)[0]?.resolve("it is gone");
  }

  #enqueue<T>(step: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => step().then(resolve, reject));
      this.#pump();
    });
  }

  /** Joining comes first: a publication without a worker would be checked by nobody. */
  #pump(): void {
    if (this.#busy) return;
    const joining = this.#joining.shift();
    if (joining !== undefined) return this.#run(this.#admit(joining.member).then(joining.resolve));
    if (this.#members.size === 0) return;
    const step = this.#waiting.shift();
    if (step !== undefined) this.#run(step());
  }

  #run(step: Promise<void>): void {
    this.#busy = true;
    void step.finally(() => {
      this.#busy = false;
      this.#pump();
    });
  }

  async #admit(member: Member): Promise<string | undefined> {
    const change = this.#whole();
    if (change !== undefined) {
      const id = ++this.#id;
      const refused = await prepare(member, { type: "prepare", id, change });
      if (refused !== undefined) return refused.message;
      await commit(member, id);
    }
    for (const { text } of this.#ahead) member.post({ type: "ahead", text });
    this.#members.add(member);
    return undefined;
  }

  /** The change as it is told who was told some of it ahead. */
  #withoutAhead(change: SnapshotChange): SnapshotChange {
    if (this.#ahead.length === 0) return change;
    const { set = {}, delete: gone = [] } = change.routes ?? {};
    let known = 0;
    const aheadBut: string[] = [];
    for (const { routes } of this.#ahead) {
      for (const [name, resource] of routes) {
        // The very same object: what a file says instead, or an older version that goes on, is another one.
        if (set[name] === resource) known++;
        else aheadBut.push(name);
      }
    }
    const names = Object.keys(set);
    // At a start nothing is left, and 100,000 names need not be looked up once more.
    const told = new Map(known === names.length ? [] : this.#ahead.flatMap(({ routes }) => routes));
    const rest = known === names.length ? [] : names.filter((name) => told.get(name) !== set[name]);
    return { ...change, routes: { set: pick(set, rest), delete: gone }, aheadBut };
  }

  async #prepare(change: SnapshotChange): Promise<{ id: number; refused: Refused | undefined }> {
    const id = ++this.#id;
    const asked = [...this.#members];
    const refusals = await Promise.all(asked.map((member) => prepare(member, { type: "prepare", id, change })));
    // One that left while it was asked says nothing about the configuration; its replacement gets what is live.
    const refused = refusals.find((reason, index) => {
      const member = asked[index];
      return reason !== undefined && member !== undefined && this.#members.has(member);
    });
    if (refused === undefined && this.#members.size === 0) {
      return { id, refused: { message: "every worker ended while it built this", failures: [] } };
    }
    return { id, refused };
  }
}

function pick<T>(from: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  const picked = Object.create(null) as Record<string, T>; // without a prototype: a resource may be called `__proto__`
  for (const name of names) {
    const value = from[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}

async function prepare(member: Member, message: Extract<ToWorker, { type: "prepare" }>): Promise<Refused | undefined> {
  const answer = await member.ask(
    message,
    (heard) => (heard.type === "prepared" || heard.type === "rejected") && heard.id === message.id,
  );
  if (answer?.type === "rejected") return answer;
  if (answer !== undefined) return undefined;
  return { message: `worker ${member.workerId} did not finish building it`, failures: [] };
}

async function commit(member: Member, id: number): Promise<void> {
  const answer = await member.ask({ type: "commit", id }, (heard) => heard.type === "committed" && heard.id === id);
  // One that did not follow would take the next change for the difference to something else: it is replaced, and the
  // replacement gets all that is live.
  if (answer === undefined) member.end();
}
