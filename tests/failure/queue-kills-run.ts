import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { seededRandom } from "../kit/clock.ts";
import { compileCache } from "../kit/command.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import type { Redis } from "../kit/redis.ts";
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
  /** Two gateways share the queue in it. Absent: one gateway has its own. */
  readonly redis?: Redis;
  /** With Redis: one gateway is killed in the end for good, and the other delivers what it had. */
  readonly leavesOneDead?: boolean;
}

export interface QueueKillReport {
  readonly messages: number;
  /** Answered 202, each once. */
  accepted: number;
  /** Of those, sent again and known already. */
  known: number;
  /** Times that a client got no answer: the gateway died. */
  unanswered: number;
  /** Answered 503: Redis was away. */
  refused: number;
  delivered: number;
  dead: number;
  /** Requests that nobody was told were queued, and that were delivered. */
  deliveredUntold: number;
  /** Work done again, under the same key. */
  repeated: number;
  /** Kills by the step that they hit. */
  readonly kills: Partial<Record<Step, number>>;
  /** Of those, of Redis. */
  redisKills: number;
  /** Messages that waited when the gateway had come back. */
  waitedAfterKills: number;
}

/** A step that is not come by is not waited for longer. */
const stepMsMax = 4_000;
const bodyLengthMax = 20_000;
/** With Redis, what a gateway had that is gone for good is its own for so long. */
const doneMsMax = 90_000;

/**
 * Kills a gateway again and again, each time at another step of some request, while clients hand over messages. Whatever
 * was answered 202 must be delivered, dead or waiting at any time, and delivered or dead in the end; what arrives must be
 * what was sent, whole, and twice only under the same key. With Redis there are two gateways, of which one is killed at a
 * time, or Redis itself.
 */
export async function killQueue(scope: Scope, options: QueueKillOptions): Promise<QueueKillReport> {
  const sent = new Map<number, Sent>();
  return new Run(scope, options, sent, await Ledger.open(scope, sent)).all();
}

/** What is killed and started again. */
interface Victim {
  readonly name: "gateway" | "redis";
  signal(): void;
  gone(): Promise<unknown>;
  restart(): Promise<void>;
}

class Run {
  readonly #scope: Scope;
  readonly #options: QueueKillOptions;
  readonly #random: () => number;
  readonly #sent: Map<number, Sent>;
  readonly #report: QueueKillReport;
  readonly #ledger: Ledger;
  readonly #gateways: GatewayProcess[] = [];
  readonly #unsent: Sent[] = [];
  #armed: { readonly step: Step; readonly victim: Victim; readonly hit: () => void } | undefined;
  /** Kills so far: clients that began before the last one end. */
  #kills = 0;

  constructor(scope: Scope, options: QueueKillOptions, sent: Map<number, Sent>, ledger: Ledger) {
    this.#scope = scope;
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#sent = sent;
    this.#ledger = ledger;
    const counts = { accepted: 0, known: 0, unanswered: 0, refused: 0, delivered: 0, dead: 0, deliveredUntold: 0 };
    const { messages } = options;
    this.#report = { messages, ...counts, repeated: 0, kills: {}, redisKills: 0, waitedAfterKills: 0 };
  }

  async all(): Promise<QueueKillReport> {
    const { messages, kills, redis, leavesOneDead = false } = this.#options;
    this.#ledger.onStep = (step) => this.#passed(step);
    for (let count = redis === undefined ? 1 : 2; count > 0; count--) await this.#start(this.#gateways.length);
    for (let kill = 0; kill < kills; kill++) {
      const step = steps[kill % steps.length] ?? "anytime";
      const clients = this.#sendUpTo(Math.ceil((messages * (kill + 1)) / (kills + 1)));
      const victim = this.#victim(kill);
      await this.#killAt(step, victim);
      await clients;
      await victim.restart();
      await this.#assertNothingLost();
    }
    await this.#sendUpTo(messages);
    if (leavesOneDead) await this.#gateways.shift()?.kill();
    await this.#untilDone();
    return this.#judge();
  }

  async #start(at: number): Promise<void> {
    const { workers = 2, redis } = this.#options;
    const queue = { store: "redis", secret: "what the gateways share" };
    const document = simpleDocument(`127.0.0.1:${this.#ledger.port}`, {
      ...(redis === undefined ? {} : { gateway: { redis: { url: redis.url }, queue } }),
      routes: { all: { match: { path: "/later/*" }, to: "s", delivery: { backoff: "20ms", backoffMax: "100ms" } } },
    });
    const after = this.#gateways[at];
    const options = { document, workers, env: compileCache, ...(after === undefined ? {} : { after }) };
    this.#gateways[at] = await startGateway(this.#scope, options);
  }

  /** With Redis every third time Redis itself, else one gateway after the other. */
  #victim(kill: number): Victim {
    const { redis } = this.#options;
    if (redis !== undefined && kill % 3 === 2) {
      return {
        name: "redis",
        signal: () => process.kill(redis.pid, "SIGKILL"),
        gone: () => redis.kill(),
        restart: () => redis.restart(),
      };
    }
    const at = kill % this.#gateways.length;
    const gateway = this.#gateway(at);
    return {
      name: "gateway",
      signal: () => gateway.signal("SIGKILL"),
      gone: () => gateway.kill(),
      restart: () => this.#start(at),
    };
  }

  #gateway(at: number): GatewayProcess {
    const gateway = this.#gateways[at];
    assert.ok(gateway !== undefined);
    return gateway;
  }

  /** Kills when the step is passed next; where it is not, after a while. */
  async #killAt(step: Step, victim: Victim): Promise<void> {
    const hit = new Promise<Step>((resolve) => {
      this.#armed = { step, victim, hit: () => resolve(step) };
    });
    const late = pause(step === "anytime" ? this.#random() * 200 : stepMsMax).then((): Step => "anytime");
    const was = await Promise.race([hit, late]);
    this.#armed = undefined;
    await victim.gone();
    this.#kills++;
    this.#report.kills[was] = (this.#report.kills[was] ?? 0) + 1;
    if (victim.name === "redis") this.#report.redisKills++;
  }

  /** The signal is sent in the same turn of the loop in which the step is seen. */
  #passed(step: Step): void {
    if (this.#armed?.step !== step) return;
    const { victim, hit } = this.#armed;
    this.#armed = undefined;
    victim.signal();
    hit();
  }

  /** Clients send messages until so many are accepted, or one is not: somebody was killed. */
  async #sendUpTo(count: number): Promise<void> {
    const kills = this.#kills;
    const client = async (): Promise<void> => {
      while (this.#report.accepted < count) {
        const accepted = await this.#send(this.#unsent.pop() ?? this.#newMessage());
        if (!accepted && (this.#gateways.length === 1 || this.#kills > kills)) return;
        // Others go on while one gateway, or Redis, is away.
        if (!accepted) await pause(20);
      }
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

  /** Whether it was accepted. A client that has a key sends what was not again; one that has none must not. */
  async #send(sent: Sent): Promise<boolean> {
    const { number, body, key } = sent;
    const headers = key === undefined ? {} : { "idempotency-key": key };
    const gateway = this.#gateway(Math.floor(this.#random() * this.#gateways.length));
    const asked = fetch(`${gateway.url}/later/${number}`, { method: "POST", body, headers });
    setTimeout(() => this.#passed("handed-over"), this.#random() * 4);
    try {
      const response = await asked;
      const text = await response.text();
      if (response.status === 503) this.#report.refused++;
      else {
        assert.equal(response.status, 202, text);
        sent.id = (JSON.parse(text) as { id: string }).id;
        if (response.headers.has("idempotent-replayed")) this.#report.known++;
        this.#report.accepted++;
        this.#passed("accepted");
        return true;
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      this.#report.unanswered++;
    }
    if (key !== undefined) this.#unsent.push(sent);
    return false;
  }

  /** Every 202 is in the ledger, in the queue, or in the dead-letter list. */
  async #assertNothingLost(): Promise<void> {
    const states = await statesOf(this.#gateway(0));
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

  async #untilDone(): Promise<void> {
    const gateway = this.#gateway(0);
    await waitFor(async () => [...(await statesOf(gateway)).values()].every((state) => state === "dead"), {
      deadlineMs: doneMsMax,
      what: () => `the queue to be empty; log: ${gateway.logs.stderr.slice(-3_000)}`,
    });
  }

  async #judge(): Promise<QueueKillReport> {
    assert.deepEqual(this.#ledger.faults, []);
    const report = this.#report;
    const states = await statesOf(this.#gateway(0));
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

/** The states of all messages, by id. */
export async function statesOf(gateway: GatewayProcess): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  for (let cursor = ""; ;) {
    const path = `/v1/queue?limit=200${cursor === "" ? "" : `&cursor=${cursor}`}`;
    // Redis may have just been started, and the gateway may not have noticed.
    const response = await waitFor(async () => {
      const answer = await gateway.admin(path);
      return answer.ok && answer;
    });
    const page = (await response.json()) as { messages: { id: string; state: string }[]; cursor: string | null };
    for (const { id, state } of page.messages) states.set(id, state);
    if (page.cursor === null) return states;
    cursor = page.cursor;
  }
}
