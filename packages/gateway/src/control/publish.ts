import type { Resources } from "@headgate/schema";
import { compileChange } from "./compile.ts";
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

export type PublishResult =
  /** It is live on all workers. */
  | { readonly outcome: "live"; readonly revision: number }
  /** Nothing differs from what is live. */
  | { readonly outcome: "unchanged"; readonly revision: number }
  /** A worker could not build it; all workers stay on what they have. */
  | { readonly outcome: "rejected"; readonly message: string }
  /** A newer one came before its turn. */
  | { readonly outcome: "superseded" };

interface Pending {
  readonly resources: Resources;
  readonly revision: number;
  readonly resolve: (result: PublishResult) => void;
}

interface Joining {
  readonly member: Member;
  readonly resolve: (refused: string | undefined) => void;
}

/**
 * Brings resources to all workers in two phases: each builds the snapshot beside the one it serves; only when all can,
 * all change over. One publication at a time; of those that wait only the newest counts. A worker that arrives later
 * gets everything that is live before it serves.
 */
export class Publisher {
  readonly #members = new Set<Member>();
  readonly #joining: Joining[] = [];
  #live: { readonly resources: Resources; readonly revision: number } | undefined;
  #pending: Pending | undefined;
  #busy = false;
  #id = 0;

  /** What all workers serve; `undefined` before the first publication. */
  get live(): { readonly resources: Resources; readonly revision: number } | undefined {
    return this.#live;
  }

  publish(resources: Resources, revision: number): Promise<PublishResult> {
    return new Promise((resolve) => {
      this.#pending?.resolve({ outcome: "superseded" });
      this.#pending = { resources, revision, resolve };
      this.#pump();
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

  /** Joining comes first: a publication without a worker would be checked by nobody. */
  #pump(): void {
    if (this.#busy) return;
    const joining = this.#joining.shift();
    if (joining !== undefined) return this.#run(this.#admit(joining.member).then(joining.resolve));
    const pending = this.#pending;
    if (pending === undefined || this.#members.size === 0) return;
    this.#pending = undefined;
    this.#run(this.#flip(pending).then(pending.resolve));
  }

  #run(step: Promise<void>): void {
    this.#busy = true;
    void step.finally(() => {
      this.#busy = false;
      this.#pump();
    });
  }

  async #admit(member: Member): Promise<string | undefined> {
    if (this.#live !== undefined) {
      const { resources, revision } = this.#live;
      const change = compileChange(undefined, resources, revision);
      if (change !== undefined) {
        const id = ++this.#id;
        const refused = await prepare(member, { type: "prepare", id, change });
        if (refused !== undefined) return refused;
        await commit(member, id);
      }
    }
    this.#members.add(member);
    return undefined;
  }

  async #flip({ resources, revision }: Pending): Promise<PublishResult> {
    const change = compileChange(this.#live?.resources, resources, revision);
    if (change === undefined) return { outcome: "unchanged", revision: this.#live?.revision ?? revision };
    const id = ++this.#id;
    const asked = [...this.#members];
    const refusals = await Promise.all(asked.map((member) => prepare(member, { type: "prepare", id, change })));
    // One that left while it was asked says nothing about the configuration; its replacement gets what is live.
    const refused = refusals.find((reason, index) => {
      const member = asked[index];
      return reason !== undefined && member !== undefined && this.#members.has(member);
    });
    if (refused !== undefined) {
      for (const member of this.#members) member.post({ type: "abandon", id });
      return { outcome: "rejected", message: refused };
    }
    if (this.#members.size === 0) return { outcome: "rejected", message: "Every worker ended while it built this." };
    this.#live = { resources, revision };
    await Promise.all([...this.#members].map((member) => commit(member, id)));
    return { outcome: "live", revision };
  }
}

/** A text says why it refused. */
async function prepare(member: Member, message: Extract<ToWorker, { type: "prepare" }>): Promise<string | undefined> {
  const answer = await member.ask(
    message,
    (heard) => (heard.type === "prepared" || heard.type === "rejected") && heard.id === message.id,
  );
  if (answer?.type === "rejected") return answer.message;
  return answer === undefined ? `Worker ${member.workerId} did not finish building it.` : undefined;
}

async function commit(member: Member, id: number): Promise<void> {
  const answer = await member.ask({ type: "commit", id }, (heard) => heard.type === "committed" && heard.id === id);
  // One that did not follow would take the next change for the difference to something else: it is replaced, and the
  // replacement gets all that is live.
  if (answer === undefined) member.end();
}
