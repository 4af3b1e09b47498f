/** Instances that announce themselves die, freeze, leave and lose their registry, under load. */
import assert from "node:assert/strict";
import test from "node:test";
import { startService, type ServiceProcess } from "../../packages/client/src/service-process.fixtures.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd, type Etcd } from "../kit/etcd.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import { says, startLoad, type Load } from "../kit/load.ts";
import { newestFirst, type Scope } from "../kit/scope.ts";
import { startStoreGateway } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const skip = etcdMissing;
const ttlMs = 2_000;

/** What a frozen instance holds up is tried elsewhere after this. */
const firstByte = "500ms";

interface Member {
  readonly process: ServiceProcess;
  readonly address: string;
}

interface Listed {
  readonly address: string;
  readonly status: string;
}

/** Several instances of one service in processes of their own, a gateway, and clients that ask without a pause. */
class Fleet {
  readonly etcd: Etcd;
  readonly gateway: GatewayProcess;
  readonly load: Load;
  readonly #scope: Scope;

  static async open(scope: Scope, count: number): Promise<{ fleet: Fleet; members: Member[] }> {
    const etcd = await startEtcd(scope);
    await new EtcdData(etcd.endpoint).write({
      "/headgate/services/users": { discover: { etcd: "users" }, timeouts: { firstByte } },
      "/headgate/routes/users": { match: { path: "/*" }, to: "users" },
    });
    const gateway = await startStoreGateway(scope, `127.0.0.1:${etcd.clientPort}`, { workers: 2 });
    const members = await Promise.all(Array.from({ length: count }, () => member(scope, etcd)));
    const fleet = new Fleet(scope, etcd, gateway);
    await fleet.serves(members);
    await fleet.load.more(50);
    return { fleet, members };
  }

  private constructor(scope: Scope, etcd: Etcd, gateway: GatewayProcess) {
    this.#scope = scope;
    this.etcd = etcd;
    this.gateway = gateway;
    this.load = startLoad(scope, { port: gateway.port, questions: [says("/", "ok")], connections: 8, pauseMs: 1 });
  }

  add(): Promise<Member> {
    return member(this.#scope, this.etcd);
  }

  /** Waits until the gateway has exactly these, all of them up. */
  async serves(members: readonly Member[]): Promise<void> {
    const wanted = members.map(({ address }) => `${address} UP`).sort();
    let seen: string[] = [];
    await waitFor(
      async () => {
        const answer = await this.gateway.admin("/v1/instances/users");
        seen = ((await answer.json()) as { instances: Listed[] }).instances // what the endpoint answers
          .map(({ address, status }) => `${address} ${status}`)
          .sort();
        return seen.join() === wanted.join();
      },
      { what: () => `instances ${wanted.join()}, not ${seen.join()}`, deadlineMs: 30_000 },
    );
  }

  /** No request failed, and many were asked. */
  async unharmed(): Promise<void> {
    await this.load.more(100);
    assert.equal(this.load.failed, 0, this.load.failures.join("\n"));
  }
}

async function member(scope: Scope, etcd: Etcd): Promise<Member> {
  const options = { service: "users", serve: true, ttl: ttlMs, noticeMs: 300, to: { etcd: [etcd.endpoint] } };
  const process = startService(scope, options);
  const port = (await process.line(/^port/)).slice("port ".length);
  await process.line(/^state registered/);
  return { process, address: `127.0.0.1:${port}` };
}

test("instances die, freeze, drain and outlive their registry, and clients notice nothing", { skip }, async (t) => {
  const scope = newestFirst(t);
  const { fleet, members } = await Fleet.open(scope, 4);
  const [first, second, third, fourth] = members;
  assert.ok(first && second && third && fourth);

  await t.test("one that is killed is gone when its lease has run out", async () => {
    first.process.child.kill("SIGKILL");
    await fleet.serves([second, third, fourth]);
    await fleet.unharmed();
  });
  await t.test("one that is frozen loses its lease, and is back when it goes on", async () => {
    second.process.child.kill("SIGSTOP");
    await fleet.serves([third, fourth]);
    const lines = second.process.lines.length;
    second.process.child.kill("SIGCONT");
    await second.process.line(/is registered again/, lines);
    await fleet.serves([second, third, fourth]);
    await fleet.unharmed();
  });
  await t.test("one that is told to end drains first", async () => {
    third.process.child.kill("SIGTERM");
    assert.deepEqual(await third.process.exited, { code: null, signal: "SIGTERM" });
    await fleet.serves([second, fourth]);
    await fleet.unharmed();
  });
  await t.test("all are there again after a registry that was away for longer than their leases", async () => {
    const fifth = await fleet.add();
    await fleet.serves([second, fourth, fifth]);
    await fleet.etcd.kill();
    const sinceMs = performance.now();
    await waitFor(() => performance.now() - sinceMs > 2 * ttlMs, { what: "the leases to be over", deadlineMs: 30_000 });
    await fleet.unharmed();
    await fleet.etcd.restart();
    await fleet.serves([second, fourth, fifth]);
    for (const { process } of [second, fourth, fifth]) await process.line(/state registered|is registered again/);
    await fleet.unharmed();
  });
});
