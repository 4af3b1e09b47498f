import type { DatabaseSync } from "node:sqlite";
import type { MessageRow } from "./statements.ts";

/** What there is, counted along: counting a hundred thousand rows at each request would cost more than the request. */
export class Tally {
  waiting = 0;
  waitingBytes = 0;
  dead = 0;
  deadBytes = 0;
  readonly #database: DatabaseSync;
  readonly #services = new Map<string, number>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.count();
  }

  /** Counts what is in the file: at the start, and after a commit that failed. */
  count(): void {
    this.waiting = this.waitingBytes = this.dead = this.deadBytes = 0;
    this.#services.clear();
    const rows = this.#database.prepare(
      "SELECT service, dead, count(*) AS messages, sum(bytes) AS bytes FROM messages GROUP BY service, dead",
    );
    for (const { service, dead, messages, bytes } of rows.iterate()) {
      if (dead === 0) this.#wait(String(service), Number(messages), Number(bytes));
      else {
        this.dead += Number(messages);
        this.deadBytes += Number(bytes);
      }
    }
  }

  /** Those that have messages waiting. */
  services(): string[] {
    return [...this.#services.keys()];
  }

  add({ service, bytes }: Pick<MessageRow, "service" | "bytes">): void {
    this.#wait(service, 1, bytes);
  }

  remove({ service, bytes, dead }: Pick<MessageRow, "service" | "bytes" | "dead">): void {
    if (dead === 0) this.#wait(service, -1, -bytes);
    else {
      this.dead--;
      this.deadBytes -= bytes;
    }
  }

  bury({ service, bytes }: Pick<MessageRow, "service" | "bytes">): void {
    this.#wait(service, -1, -bytes);
    this.dead++;
    this.deadBytes += bytes;
  }

  revive({ service, bytes }: Pick<MessageRow, "service" | "bytes">): void {
    this.#wait(service, 1, bytes);
    this.dead--;
    this.deadBytes -= bytes;
  }

  #wait(service: string, messages: number, bytes: number): void {
    this.waiting += messages;
    this.waitingBytes += bytes;
    const count = (this.#services.get(service) ?? 0) + messages;
    if (count === 0) this.#services.delete(service);
    else this.#services.set(service, count);
  }
}
