import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { seededRandom } from "../kit/clock.ts";
import { EtcdData, type Writes } from "../kit/etcd-data.ts";
import { startEtcd } from "../kit/etcd.ts";
import { faultProxy } from "../kit/fault-proxy.ts";
import { launchGateway, type GatewayProcess } from "../kit/gateway.ts";
import type { Scope } from "../kit/scope.ts";
import { storeStatus } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

export interface KillOptions {
  readonly times: number;
  readonly seed: number;
  /** Default 2. */
  readonly workers?: number;
}

export interface KillReport {
  /** Gateways that were killed before they served. */
  killedAtStart: number;
  /** Starts that served what the disk had, with the store out of reach. */
  fromDisk: number;
  /** Starts that served with the store. */
  fromStore: number;
  /** Changes that were made meanwhile. */
  changes: number;
}

/** A start takes about as long; a kill may come at any moment of it, or later. */
const startMsMax = 1_200;
const servingMsMax = 500;
const readyMsMax = 30_000;
/** What is live is on the disk after this: 100 ms of collecting, and the write. */
const savedMsMax = 2_000;

/** Three keys with one number: a state with different ones never existed. */
function numbered(number: number): Writes {
  const text = String(number);
  return {
    "/headgate/settings/global": [{ headers: { response: { set: { "x-global": text } } } }],
    "/headgate/middlewares/named": { headers: { response: { set: { "x-named": text } } } },
    "/headgate/routes/numbered": { match: { path: "/numbered" }, use: ["named"], respond: { status: 200, body: text } },
  };
}

/**
 * Kills a gateway at random moments, again and again, while the store changes. It must always start again, and always
 * serve a state that was there as a whole: with the store a recent one, without it the one on the disk.
 */
export async function killGateway(scope: Scope, { times, seed, workers = 2 }: KillOptions): Promise<KillReport> {
  const random = seededRandom(seed);
  const etcd = await startEtcd(scope);
  const wire = await faultProxy(scope, etcd.clientPort);
  const writer = new Writer(new EtcdData(etcd.endpoint));
  await writer.write();
  const report: KillReport = { killedAtStart: 0, fromDisk: 0, fromStore: 0, changes: 0 };
  const args = ["--store", `etcd://127.0.0.1:${wire.port}/headgate/`];
  let gateway = await launchGateway(scope, { args, workers });
  await untilReady(gateway);
  let saved = await untilSaved(gateway, writer);
  const stopWriting = writer.start();
  scope.after(stopWriting);

  for (let kills = 0; kills < times; kills++) {
    await pause(random() * servingMsMax);
    await gateway.kill();
    const away = random() < 0.5;
    wire.refuse(away);
    if (away) wire.cut();
    gateway = await launchGateway(scope, { args, workers, after: gateway });
    if (random() < 0.3) {
      await pause(random() * startMsMax);
      report.killedAtStart++;
      continue;
    }
    const known = writer.number;
    await untilReady(gateway);
    const number = await numberOf(gateway);
    if (away) {
      report.fromDisk++;
      assert.ok(number >= saved, `the disk has ${number}, but ${saved} was saved`);
      await assertFromDisk(gateway);
      wire.refuse(false);
    } else {
      report.fromStore++;
      assert.ok(number >= known, `serves ${number} though the store had ${known} before it was ready`);
    }
    saved = await untilSaved(gateway, writer);
  }
  await stopWriting();
  await untilSaved(gateway, writer);
  report.changes = writer.number;
  return report;
}

class Writer {
  number = 0;
  readonly #data: EtcdData;

  constructor(data: EtcdData) {
    this.#data = data;
  }

  async write(): Promise<void> {
    await this.#data.write(numbered(this.number + 1));
    this.number++;
  }

  /** Writes on and on, a little slower than a gateway takes it over. */
  start(): () => Promise<void> {
    let stopped = false;
    const done = (async () => {
      for (; !stopped; await pause(20)) await this.write();
    })();
    return async () => {
      stopped = true;
      await done;
    };
  }
}

/** Waits until the gateway has caught up with what is written now, and has had time to save it; a number that is saved. */
async function untilSaved(gateway: GatewayProcess, writer: Writer): Promise<number> {
  const wanted = writer.number;
  await waitFor(async () => (await numberOf(gateway)) >= wanted, {
    what: () => `number ${wanted}; log: ${gateway.logs.stderr.slice(-3_000)}`,
  });
  const isSaved = (): boolean => savedNumber(gateway) >= wanted;
  await waitFor(isSaved, { what: `number ${wanted} on the disk`, deadlineMs: savedMsMax });
  return wanted;
}

/** What a gateway that starts without its store would begin with. */
function savedNumber(gateway: GatewayProcess): number {
  const database = new DatabaseSync(`${gateway.directory}/data/last-good.db`, { readOnly: true, timeout: 1_000 });
  try {
    const row = database.prepare("SELECT json FROM records WHERE id = '/headgate/routes/numbered'").get();
    return Number(/body\\*":\\*"(\d+)/.exec(String(row?.["json"]))?.[1] ?? 0);
  } finally {
    database.close();
  }
}

async function untilReady(gateway: GatewayProcess): Promise<void> {
  await waitFor(
    async () => {
      if (!gateway.running) throw new Error(`the gateway ended at start: ${gateway.logs.stderr}`);
      return (await fetch(`${gateway.adminUrl}/readyz`).catch(() => undefined))?.status === 200;
    },
    { deadlineMs: readyMsMax, what: () => `the gateway to be ready: ${gateway.logs.stderr}` },
  );
}

/** One answer shows all three keys. */
async function numberOf(gateway: GatewayProcess): Promise<number> {
  const response = await fetch(`${gateway.url}/numbered`);
  const body = await response.text();
  const shown = [body, response.headers.get("x-global"), response.headers.get("x-named")];
  assert.equal(response.status, 200, `${body}; log: ${gateway.logs.stderr.slice(-3_000)}`);
  assert.deepEqual(shown, [body, body, body], "a state that never was");
  return Number(body);
}

async function assertFromDisk(gateway: GatewayProcess): Promise<void> {
  const { configSource, configAgeSeconds, store } = await storeStatus(gateway);
  assert.deepEqual([configSource, store.connected], ["cache", false]);
  assert.equal(await gateway.metric("headgate_config_source", { source: "cache" }), 1);
  assert.equal(await gateway.metric("headgate_config_source", { source: "live" }), 0);
  const age = await gateway.metric("headgate_config_age_seconds");
  assert.ok(age > 0 && configAgeSeconds > 0, `age ${age}`);
  await waitFor(async () => (await gateway.metric("headgate_config_age_seconds")) > age, { what: "the age to grow" });
}
