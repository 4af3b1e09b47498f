import { setTimeout as pause } from "node:timers/promises";
import { Connection } from "./connection.ts";
import type { Status } from "./gateway.ts";

/** Sees a change on every worker. */
export interface Watchers extends Disposable {
  readonly workers: number;
  /**
   * Asks all workers for a path, again and again, until each has answered with this body. Resolves with when the last
   * one did, on this process' monotonic clock; undefined: one did not in time.
   */
  until(path: string, body: string): Promise<number | undefined>;
}

/** Between two questions to a worker: what is measured is late by so much at most, and costs so many requests. */
const askEveryMs = 1;
const timeoutMs = 15_000;
/** The kernel spreads connections by chance: with two workers one of 40 has none once in 10^12 starts. */
const connectionsMax = 40;
const countedTimeoutMs = 5_000;

/**
 * One connection to each worker. Connections are opened one after the other; after each, the status of the gateway
 * tells whose number of connections has grown. Needs a gateway that nobody else connects to meanwhile.
 */
export async function openWatchers(gateway: { port: number; status(): Promise<Status> }): Promise<Watchers> {
  const byWorker = new Map<number, Connection>();
  const spare: Connection[] = [];
  let before = (await gateway.status()).workers;
  const wanted = before.length;
  for (let opened = 0; byWorker.size < wanted && opened < connectionsMax; opened++) {
    const connection = await Connection.open(gateway.port);
    const { worker, workers } = await acceptedBy(gateway, before);
    before = workers;
    if (byWorker.has(worker)) spare.push(connection);
    else byWorker.set(worker, connection);
  }
  // Closed at the end only: closing them earlier would change the counts that the next one is found by.
  for (const connection of spare) connection.close();
  if (byWorker.size < wanted) throw new Error(`no connection reached each of the ${wanted} workers`);
  const connections = [...byWorker.values()];
  return {
    workers: wanted,
    async until(path, body) {
      const fromMs = performance.now();
      const seen = await Promise.all(connections.map((connection) => untilSays(connection, path, body, fromMs)));
      return seen.some((atMs) => atMs === undefined) ? undefined : Math.max(...seen.map((atMs) => atMs ?? 0));
    },
    [Symbol.dispose]() {
      for (const connection of connections) connection.close();
    },
  };
}

async function acceptedBy(
  gateway: { status(): Promise<Status> },
  before: Status["workers"],
): Promise<{ worker: number; workers: Status["workers"] }> {
  const known = new Map(before.map(({ id, connections }) => [id, connections]));
  for (const fromMs = performance.now(); performance.now() - fromMs < countedTimeoutMs;) {
    const { workers } = await gateway.status();
    const grown = workers.find(({ id, connections }) => connections > (known.get(id) ?? 0));
    if (grown !== undefined) return { worker: grown.id, workers };
    await pause(50);
  }
  throw new Error("the status of the gateway does not count a connection");
}

async function untilSays(
  connection: Connection,
  path: string,
  body: string,
  fromMs: number,
): Promise<number | undefined> {
  while (performance.now() - fromMs < timeoutMs) {
    if ((await connection.get(path)) === body) return performance.now();
    await pause(askEveryMs);
  }
  return undefined;
}
