import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { seededRandom } from "../kit/clock.ts";
import { compileCache } from "../kit/command.ts";
import { launchGateway, simpleDocument, type GatewayProcess } from "../kit/gateway.ts";
import type { Scope } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";
import { fate, Ledger, steps, type Sent, type Step } from "./queue-ledger.ts";

export interface QueueKillOptions {
  /** That are to be accepted. */
  readonly messages: number;
  /** Of the gateway, spread over the steps. */
  readonly kills: number;
  readonly seed: number;
  /** Default 2. */
  readonly workers?: number;
  /** Clients at a time. Default 8. */
  readonly clients?: number;
}

export interface QueueKillReport {
  readonly messages: number;
  /** Answered 202, each once. */
  accepted: number;
  /** Of those, sent again and known already. */
  known: number;
  /** Times that a client got no answer: the gateway died. */
  unanswered: number;
  delivered: number;
  dead: number;
  /** Requests that nobody was told were queued, and that were delivered. */
  deliveredUntold: number;
  /** Work done again, under the same key. */
  repeated: number;
  /** Kills by the step that they hit. */
  readonly kills: Partial<Record<Step, number>>;
  /** Messages that waited when the gateway had come back. */
  waitedAfterKills: number;
}

/** A step that is not come by is not waited for longer. */
const stepMsMax = 4_000;
const bodyLengthMax = 20_000;

/**
 * Kills a gateway again and again, each time at another step of some request, while clients hand over messages. Whatever
 * was answered 202 must be delivered, dead or waiting at any time, and delivered or dead in the end; what arrives must be
 * what was sent, whole, and twice only under the same key.
 */
export async function killQueue(scope: Scope, options: QueueKillOptions): Promise<QueueKillReport> {
  const run = new Run(options, await Ledger.open(scope, new Map()));
  return run.all(scope);
}

class Run {
  readonly #options: QueueKillOptions;
  readonly #random: () => number;
  readonly #sent = new Map<number, Sent>();
  readonly #report: QueueKillReport;
  #ledger: Ledger;
  #gateway: GatewayProcess | undefined;
  #armed: { readonly step: Step; readonly hit: () => void } | undefined;
  readonly #unsent: Sent[] = [];

  constructor(options: QueueKillOptions, ledger: Ledger) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#ledger = ledger;
    const counts = { accepted: 0, known: 0, unanswered: 0, delivered: 0, dead: 0, deliveredUntold: 0, repeated: 0 };
    this.#report = { messages: options.messages, ...counts, kills: {}, waitedAfterKills: 0 };
  }

  async all(scope: Scope): Promise<QueueKillReport> {
    const { messages, kills, workers = 2 } = this.#options;
    this.#ledger = await Ledger.open(scope, this.#sent);
    this.#ledger.onStep = (step) => this.#passed(step);
    const document = simpleDocument(`127.0.0.1:${this.#ledger.port}`, {
      routes: { all: { match: { path: "/later/*" }, to: "s", delivery: { backoff: "20ms", backoffMax: "100ms" } } },
    });
    const start = async (after: GatewayProcess | undefined): Promise<GatewayProcess> => {
      const gateway = await launchGateway(scope, {
        document,
        workers,
        env: compileCache,
        ...(after === undefined ? {} : { after }),
      });
      this.#gateway = gateway;
      await untilReady(gateway);
      return gateway;
    };
    let gateway = await start(undefined);
    for (let kill = 0; kill < kills; kill++) {
      const step = steps[kill % steps.length] ?? "anytime";
      const clients = this.#sendUpTo(Math.ceil((messages * (kill + 1)) / (kills + 1)));
      await this.#killAt(step, gateway);
      await clients;
      gateway = await start(gateway);
      await this.#assertNothingLost(gateway);
    }
    await this.#sendUpTo(messages);
    await this.#untilDone(gateway);
    return this.#judge(gateway);
  }

  /** Kills when the step is passed next; where it is not, after a while. */
  async #killAt(step: Step, gateway: GatewayProcess): Promise<void> {
    const hit = new Promise<Step>((resolve) => {
      this.#armed = { step, hit: () => resolve(step) };
    });
    const late = pause(step === "anytime" ? this.#random() * 200 : stepMsMax).then((): Step => "anytime");
    const was = await Promise.race([hit, late]);
    this.#armed = undefined;
    await gateway.kill();
    this.#report.kills[was] = (this.#report.kills[was] ?? 0) + 1;
  }

  /** The signal is sent in the same turn of the loop in which the step is seen. */
  #passed(step: Step): void {
    if (this.#armed?.step !== step) return;
    this.#gateway?.signal("SIGKILL");
    this.#armed.hit();
    this.#armed = undefined;
  }

  /** Clients send messages until so many are accepted, or one gets no answer: the gateway is gone. */
  async #sendUpTo(count: number): Promise<void> {
    const client = async (): Promise<void> => {
      while (this.#report.accepted < count && (await this.#send(this.#unsent.pop() ?? this.#newMessage())));
    };
    await Promise.all(Array.from({ length: this.#options.clients ?? 8 }, client));
  }

  #newMessage(): Sent {
    const number = this.#sent.size;
    const body = `${number} `.repeat(1 + Math.floor((this.#random() ** 3 * bodyLengthMax) / 5));
    const sent: Sent = { number, body, key: number % 2 === 0 ? undefined : `key-${number}` };
    this.#sent.set(number, sent);
    return sent;
  }

  /** Whether it was answered. A client that has a key sends what was not again; one that has none must not. */
  async #send(sent: Sent): Promise<boolean> {
    const { number, body, key } = sent;
    const headers = key === undefined ? {} : { "idempotency-key": key };
    const asked = fetch(`${this.#gateway?.url ?? ""}/later/${number}`, { method: "POST", body, headers });
    setTimeout(() => this.#passed("handed-over"), this.#random() * 4);
    try {
      const response = await asked;
      const text = await response.text();
      assert.equal(response.status, 202, text);
      sent.id = (JSON.parse(text) as { id: string }).id;
      if (response.headers.has("idempotent-replayed")) this.#report.known++;
      this.#report.accepted++;
      this.#passed("accepted");
      return true;
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      this.#report.unanswered++;
      if (key !== undefined) this.#unsent.push(sent);
      return false;
    }
  }

  /** Every 202 is in the ledger, in the queue, or in the dead-letter list. */
  async #assertNothingLost(gateway: GatewayProcess): Promise<void> {
    const states = await statesOf(gateway);
    this.#report.waitedAfterKills += [...states.values()].filter((state) => state !== "dead").length;
    const lost = [...this.#sent.values()].filter(
      (sent) => sent.id !== undefined && !states.has(sent.id) && !this.#isWorked(sent),
    );
    assert.deepEqual(
      lost.map(({ number, id }) => ({ number, id })),
      [],
      "answered 202 and nowhere",
    );
  }

  #isWorked({ key, id = "" }: Sent): boolean {
    return (this.#ledger.entries.get(key ?? id)?.worked ?? 0) > 0;
  }

  async #untilDone(gateway: GatewayProcess): Promise<void> {
    await waitFor(async () => [...(await statesOf(gateway)).values()].every((state) => state === "dead"), {
      deadlineMs: 60_000,
      what: () => `the queue to be empty; log: ${gateway.logs.stderr.slice(-3_000)}`,
    });
  }

  async #judge(gateway: GatewayProcess): Promise<QueueKillReport> {
    assert.deepEqual(this.#ledger.faults, []);
    const report = this.#report;
    const states = await statesOf(gateway);
    const known = new Set<string>();
    for (const sent of this.#sent.values()) {
      if (sent.id === undefined) continue;
      known.add(sent.key ?? sent.id);
      const isDead = states.get(sent.id) === "dead";
      if (this.#isWorked(sent)) report.delivered++;
      else if (isDead) report.dead++;
      else assert.fail(`${sent.number} was answered 202 and is neither delivered nor dead`);
      assert.equal(isDead, fate(sent.number) === "refused", `${sent.number} is ${isDead ? "" : "not "}dead`);
    }
    report.deliveredUntold = [...this.#ledger.entries].filter(
      ([key, { worked }]) => worked > 0 && !known.has(key),
    ).length;
    report.repeated = this.#ledger.repeated;
    assert.equal(report.delivered + report.dead, report.accepted);
    return report;
  }
}

async function untilReady(gateway: GatewayProcess): Promise<void> {
  await waitFor(
    async () => {
      if (!gateway.running) throw new Error(`the gateway ended at start: ${gateway.logs.stderr}`);
      return (await fetch(`${gateway.adminUrl}/readyz`).catch(() => undefined))?.status === 200;
    },
    { deadlineMs: 30_000, what: () => `the gateway to be ready: ${gateway.logs.stderr}` },
  );
}

/** The states of all messages, by id. */
export async function statesOf(gateway: GatewayProcess): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  for (let cursor = ""; ;) {
    const response = await gateway.admin(`/v1/queue?limit=200${cursor === "" ? "" : `&cursor=${cursor}`}`);
    const page = (await response.json()) as { messages: { id: string; state: string }[]; cursor: string | null };
    for (const { id, state } of page.messages) states.set(id, state);
    if (page.cursor === null) return states;
    cursor = page.cursor;
  }
}
