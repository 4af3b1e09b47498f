import type { RouteResource } from "@headgate/schema";
import type { BuildFailure } from "../proxy/build-failure.ts";
import type { AheadRoute } from "../proxy/routes-ahead.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { kindsInOrder } from "./catalog/entry.ts";
import type { Member, Refused } from "./publish.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";

/** A worker that keeps what it was sent and what it runs, and answers as it is told. */
export class FakeMember implements Member {
  readonly workerId: number;
  /** With what was told ahead in the changes that it belongs to. */
  readonly seen: ToWorker[] = [];
  /** Word for word. */
  readonly asked: ToWorker[] = [];
  /** What it runs, by id (`routes/users`); an empty global chain is none. */
  readonly runs = new Map<string, unknown>();
  revision = 0;
  ended = false;
  /** Why it cannot build a change. */
  refuses: (change: SnapshotChange) => Refused | undefined = () => undefined;
  /** Runs when it has changed over. */
  onCommit: () => void = () => undefined;
  answers: (message: ToWorker) => FromWorker | undefined | Promise<FromWorker | undefined> = (message) =>
    this.willing(message);
  #prepared: Extract<ToWorker, { type: "prepare" }> | undefined;
  readonly #ahead = new Map<string, RouteResource>();

  constructor(workerId = 1) {
    this.workerId = workerId;
  }

  get prepared(): SnapshotChange[] {
    return this.seen.flatMap((message) => (message.type === "prepare" ? [message.change] : []));
  }

  post(message: ToWorker): void {
    this.asked.push(message);
    this.seen.push(message.type === "prepare" ? { ...message, change: this.#whole(message.change) } : message);
    if (message.type === "forget-ahead") this.#ahead.clear();
    if (message.type !== "ahead") return;
    for (const [name, route] of JSON.parse(message.text) as AheadRoute[]) this.#ahead.set(name, route); // see publish.ts
  }

  async ask(message: ToWorker): Promise<FromWorker | undefined> {
    this.post(message);
    return this.answers(message);
  }

  end(): void {
    this.ended = true;
  }

  willing(message: ToWorker): FromWorker | undefined {
    if (message.type === "prepare") {
      const { id } = message;
      const change = this.#whole(message.change);
      const refused = this.refuses(change);
      if (refused !== undefined) return { type: "rejected", id, ...refused };
      this.#prepared = { ...message, change };
      return { type: "prepared", id };
    }
    if (message.type !== "commit" || this.#prepared?.id !== message.id) return undefined;
    const { change } = this.#prepared;
    this.revision = change.revision;
    applyTo(this.runs, change);
    this.onCommit();
    return { type: "committed", id: message.id, revision: change.revision };
  }

  /** A change with what it takes of the routes that were told ahead. */
  #whole({ aheadBut, ...change }: SnapshotChange): SnapshotChange {
    if (aheadBut === undefined) return change;
    const taken = [...this.#ahead].filter(([name]) => !aheadBut.includes(name));
    const { set, delete: gone } = change.routes ?? { set: {}, delete: [] };
    const twice = taken.find(([name]) => Object.hasOwn(set, name));
    if (twice !== undefined) throw new Error(`routes/${twice[0]} was told ahead and again`);
    return { ...change, routes: { set: { ...set, ...Object.fromEntries(taken) }, delete: gone } };
  }
}

/** A refusal that names resources by their ids. */
export function refusalOf(...ids: string[]): Refused {
  const failures = ids.map((id): BuildFailure => {
    const [kind, name = ""] = id.split("/");
    // The ids that tests write are those of kinds that a worker names.
    return { kind: kind as BuildFailure["kind"], name, message: `${id} cannot be built` };
  });
  return { message: failures.map(({ message }) => message).join("; "), failures };
}

/** Takes a change over into a plain copy. Throws where one deletes what is not there: the two went apart. */
export function applyTo(runs: Map<string, unknown>, change: SnapshotChange): void {
  for (const kind of kindsInOrder) {
    if (kind === "settings") {
      if (change.global === undefined) continue;
      if (change.global.length > 0) runs.set("settings/global", change.global);
      else runs.delete("settings/global");
      continue;
    }
    const { set = {}, delete: gone = [] } = change[kind] ?? {};
    for (const name of gone) if (!runs.delete(`${kind}/${name}`)) throw new Error(`${kind}/${name} was not there`);
    for (const [name, value] of Object.entries(set)) runs.set(`${kind}/${name}`, value);
  }
}

/** A log whose lines can be looked at: the level, then the sentence. */
export function linesLog(): {
  readonly lines: string[];
  readonly log: Record<"debug" | "info" | "warn" | "error", (fields: object, message: string) => void>;
} {
  const lines: string[] = [];
  const at = (level: string) => (_fields: object, message: string) => void lines.push(`${level} ${message}`);
  return { lines, log: { debug: () => undefined, info: at("info"), warn: at("warn"), error: at("error") } };
}
