import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { portOf } from "../kit/ports.ts";
import type { Scope } from "../kit/scope.ts";

/** The steps of a request on its way, at each of which somebody may die. */
export const steps = [
  /** The client has sent it and waits. */
  "handed-over",
  /** The client has its 202. */
  "accepted",
  /** An instance sees the head of a delivery. */
  "arriving",
  /** The instance has all of it and has done nothing yet. */
  "arrived",
  /** The instance has done the work and has not answered. */
  "worked",
  /** The answer has just been written. */
  "answered",
  /** A moment later: the gateway notes it. */
  "noting",
  /** The instance has just said that it cannot now. */
  "failed",
  /** The instance has just said that it never will. */
  "refused",
  /** Nothing in particular happens. */
  "anytime",
] as const;

export type Step = (typeof steps)[number];

/** A message that a client has sent, and what became of it. */
export interface Sent {
  readonly number: number;
  readonly body: string;
  /** The client's own key. */
  readonly key: string | undefined;
  /** Where it was answered 202. */
  id?: string;
}

/** Every tenth message fails once, every tenth is refused for good; the others are taken. */
export function fate(number: number): "taken" | "fails-once" | "refused" {
  if (number % 10 === 3) return "fails-once";
  return number % 10 === 7 ? "refused" : "taken";
}

/** What an instance did for one key. */
export interface Entry {
  readonly number: number;
  /** How often the work was done: more than once is what the key is for. */
  worked: number;
  seen: number;
}

/** A service that notes under which key it was asked for what, and how often; and where everybody can see the step. */
export class Ledger {
  readonly port: number;
  readonly entries = new Map<string, Entry>();
  /** What must not be. */
  readonly faults: string[] = [];
  /** Called at each step of a delivery. */
  onStep: (step: Step) => void = () => {};
  readonly #sent: ReadonlyMap<number, Sent>;

  private constructor(port: number, sent: ReadonlyMap<number, Sent>) {
    this.port = port;
    this.#sent = sent;
  }

  /** `sent`: by number. */
  static async open(scope: Scope, sent: ReadonlyMap<number, Sent>): Promise<Ledger> {
    const server = createServer({ keepAliveTimeout: 60_000 });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    scope.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const ledger = new Ledger(portOf(server), sent);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      ledger.#take(request, response).catch(() => response.destroy());
    });
    return ledger;
  }

  /** Times that work was done again. */
  get repeated(): number {
    return [...this.entries.values()].reduce((sum, { worked }) => sum + Math.max(0, worked - 1), 0);
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.onStep("arriving");
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer); // no encoding is set
    const body = Buffer.concat(pieces).toString("latin1");
    this.onStep("arrived");
    const number = Number(/^\/later\/(\d+)$/.exec(request.url ?? "")?.[1] ?? Number.NaN);
    const key = request.headers["idempotency-key"];
    const entry = this.#note(number, typeof key === "string" ? key : "", body);
    entry.seen++;
    const doomed = fate(number);
    if (doomed === "refused" || (doomed === "fails-once" && entry.seen === 1)) {
      response
        .writeHead(doomed === "refused" ? 404 : 503)
        .end(() => this.onStep(doomed === "refused" ? "refused" : "failed"));
      return;
    }
    entry.worked++;
    this.onStep("worked");
    response.writeHead(200).end(() => {
      this.onStep("answered");
      setTimeout(() => this.onStep("noting"), Math.random() * 8);
    });
  }

  #note(number: number, key: string, body: string): Entry {
    const sent = this.#sent.get(number);
    if (sent === undefined) this.faults.push(`a request that nobody sent arrived: ${number}`);
    else {
      if (sent.body !== body)
        this.faults.push(`another body arrived for ${number}: ${sha(body)}, not ${sha(sent.body)}`);
      if (sent.key !== undefined && sent.key !== key)
        this.faults.push(`${number} arrived with key ${key}, not its own`);
      if (sent.key === undefined && sent.id !== undefined && sent.id !== key) {
        this.faults.push(`${number} arrived with key ${key}, but was answered ${sent.id}`);
      }
    }
    if (key === "") this.faults.push(`${number} arrived without a key`);
    const known = this.entries.get(key);
    if (known !== undefined) {
      if (known.number !== number) this.faults.push(`key ${key} came for ${known.number} and for ${number}`);
      return known;
    }
    for (const [other, entry] of this.entries) {
      if (entry.number === number) this.faults.push(`${number} arrived with key ${other} and with key ${key}`);
    }
    const entry: Entry = { number, worked: 0, seen: 0 };
    this.entries.set(key, entry);
    return entry;
  }
}

function sha(text: string): string {
  return `${text.length} bytes, ${createHash("sha256").update(text).digest("hex").slice(0, 8)}`;
}
