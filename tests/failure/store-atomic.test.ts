import assert from "node:assert/strict";
import test from "node:test";
import { EtcdData, type Writes } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import { startLoad, type Load, type Question } from "../kit/load.ts";
import { newestFirst } from "../kit/scope.ts";
import { assertCaughtUp, respondRoute, startStoreGateway } from "../kit/store.ts";

const changes = 120;
const connections = 8;

/** Three keys with one number, each seen by every request in a place of its own. */
function numbered(number: number): Writes {
  const text = String(number);
  return {
    "/headgate/settings/global": [{ headers: { response: { set: { "x-global": text } } } }],
    "/headgate/middlewares/named": { headers: { response: { set: { "x-named": text } } } },
    "/headgate/routes/numbered": { ...respondRoute("/numbered", text), use: ["named"] },
  };
}

/** Answers must agree in themselves, and not go back on one connection: that is one worker. */
function agreeing(seen: Set<number>): Question {
  let newest = 0;
  return {
    target: "/numbered",
    judge: (status, body, headers) => {
      const { "x-global": global, "x-named": named } = headers;
      const text = `${status}: body ${body}, global ${String(global)}, named ${String(named)}, newest ${newest}`;
      const number = Number(body);
      if (status !== 200 || global !== body || named !== body || number < newest) return text;
      newest = number;
      seen.add(number);
      return undefined;
    },
  };
}

const skip = etcdMissing;

test(
  "what one transaction of etcd changes is never seen apart, by no request and on no worker",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const etcd = await startEtcd(scope);
    const data = new EtcdData(etcd.endpoint);
    await data.write(numbered(1));
    const gateway = await startStoreGateway(scope, `127.0.0.1:${etcd.clientPort}`, { workers: 2 });
    const seen = new Set<number>();
    const loads: Load[] = [];
    for (let n = 0; n < connections; n++) {
      loads.push(startLoad(scope, { port: gateway.port, questions: [agreeing(seen)], connections: 1, pauseMs: 0 }));
    }
    await Promise.all(loads.map((load) => load.more(2)));
    const { workers } = await gateway.status();
    assert.ok(
      workers.length === 2 && workers.every((worker) => "connections" in worker && Number(worker.connections) > 0),
      `connections to both workers are needed: ${JSON.stringify(workers)}`,
    );
    for (let number = 2; number <= changes; number++) {
      await data.write(numbered(number));
      // Some changes one by one, others in the same batch.
      if (number % 3 === 0) await loads[0]?.more(3);
    }
    await assertCaughtUp(gateway, etcd);
    await Promise.all(loads.map((load) => load.more(2)));
    assert.deepEqual(
      loads.flatMap(({ failures }) => failures),
      [],
    );
    assert.ok(seen.has(changes) && seen.size > changes / 4, `requests saw ${seen.size} of ${changes} numbers`);
  },
);
