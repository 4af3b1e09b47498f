import assert from "node:assert/strict";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { request } from "../kit/client.ts";
import { echoUpstream } from "../kit/echo.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd, type Etcd } from "../kit/etcd.ts";
import { faultProxy, type FaultProxy } from "../kit/fault-proxy.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import { startLoad, type Load } from "../kit/load.ts";
import {
  assertCaughtUp,
  respondRoute,
  startStoreGateway,
  steadyQuestions,
  steadyResources,
  untilStatus,
} from "../kit/store.ts";
import { newestFirst } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";

interface Setting {
  readonly etcd: Etcd;
  readonly data: EtcdData;
  readonly wire: FaultProxy;
  readonly gateway: GatewayProcess;
  readonly load: Load;
  readonly resources: Readonly<Record<string, unknown>>;
  readonly backup: string;
  cutOff(): Promise<void>;
  reopen(): void;
}

async function start(t: TestContext): Promise<Setting> {
  const scope = newestFirst(t);
  const etcd = await startEtcd(scope);
  const data = new EtcdData(etcd.endpoint);
  const resources = steadyResources((await echoUpstream(scope)).address);
  await data.write(resources);
  const wire = await faultProxy(scope, etcd.clientPort);
  const gateway = await startStoreGateway(scope, wire.address, { workers: 2 });
  const load = startLoad(scope, { port: gateway.port, questions: steadyQuestions });
  const cutOff = async (): Promise<void> => {
    wire.refuse(true);
    wire.cut();
    await untilStatus(gateway, "the outage to be noticed", ({ store }) => !store.connected);
  };
  const reopen = (): void => wire.refuse(false);
  return { etcd, data, wire, gateway, load, resources, backup: join(gateway.directory, "backup.db"), cutOff, reopen };
}

const skip = etcdMissing;

test(
  "an etcd restored from an older backup is followed, whatever its revision is meanwhile, and costs no request",
  { skip },
  async (t) => {
    const { etcd, data, gateway, load, backup, cutOff, reopen } = await start(t);
    const text = async (path: string): Promise<string> => (await request(t, gateway.port, path)).text;
    const scenario = async (what: string, token: string | undefined, happen: () => Promise<void>): Promise<void> => {
      await t.test(what, async () => {
        const { failed } = load;
        await data.write({ "/headgate/routes/a": respondRoute("/a", `before ${what}`) });
        await etcd.snapshot(backup);
        const lost = await data.write({ "/headgate/routes/a": respondRoute("/a", `lost ${what}`) });
        await data.write({ "/headgate/routes/lost": respondRoute("/lost", `lost ${what}`) });
        await assertCaughtUp(gateway, etcd);
        await cutOff();
        await etcd.restore(backup, token);
        assert.ok((await data.revision()) < lost);
        await happen();
        reopen();
        await assertCaughtUp(gateway, etcd);
        await data.write({ "/headgate/routes/a": respondRoute("/a", `after ${what}`) });
        await assertCaughtUp(gateway, etcd);
        assert.equal(await text("/a"), `after ${what}`);
        await load.more(20);
        assert.equal(load.failed, failed, load.failures.join("\n"));
      });
    };
    await scenario("the revision is back", undefined, () => Promise.resolve());
    await scenario("the cluster id is another", "another", () => Promise.resolve());
    await scenario("it was written past what the gateway knew", "another", async () => {
      for (let n = 0; n < 20; n++) await data.write({ "/headgate/routes/b": respondRoute("/b", `past ${n}`) });
    });
    await scenario("the key has another value at the same revision", "another", async () => {
      await data.write({ "/headgate/routes/a": respondRoute("/a", "another value at the same revision") });
      await data.write({ "/headgate/routes/lost": respondRoute("/lost", "another value at the same revision") });
    });
  },
);

test("an etcd that lost everything and gets it back before the second look costs nothing", { skip }, async (t) => {
  const { etcd, data, gateway, load, resources, cutOff, reopen } = await start(t);
  await cutOff();
  await etcd.wipe();
  await data.write({ "/headgate/routes/steady": resources["/headgate/routes/steady"] });
  reopen();
  await untilStatus(gateway, "the first look", ({ store }) => store.reason.includes("second look"));
  await data.write(resources);
  await waitFor(() => gateway.logs.stderr.includes("finds the whole configuration"), { what: "the second look" });
  await assertCaughtUp(gateway, etcd);
  await load.more(50);
  assert.equal(load.failed, 0, load.failures.join("\n"));
});

test("an etcd that lost everything for good leaves the gateway empty, after a second look", { skip }, async (t) => {
  const { etcd, gateway, load } = await start(t);
  await etcd.wipe();
  await untilStatus(gateway, "the first look", ({ store }) => store.reason.includes("second look"));
  await load.more(8);
  assert.equal(load.failed, 0, load.failures.join("\n"));
  await assertCaughtUp(gateway, etcd);
  assert.equal((await request(t, gateway.port, "/steady")).status, 404);
  assert.match(gateway.logs.stderr, /35 of 35 resources are not in .*, says a second look too; they are deleted/);
});

test("most of the configuration deleted at once is looked at again before it is believed", { skip }, async (t) => {
  const { etcd, data, gateway, load, resources, wire } = await start(t);
  const revision = await data.deletePrefix("/headgate/routes/");
  await assertCaughtUp(gateway, etcd);
  assert.match(gateway.logs.stderr, new RegExp(`Revision ${revision} deletes 33 of 35 resources; it is held`));
  assert.match(gateway.logs.stderr, new RegExp(`A second look confirms the deletions of revision ${revision}`));
  assert.equal((await request(t, gateway.port, "/steady")).status, 404);
  await load.stop();

  // With the second look out of reach the deletion waits, and what was live is served.
  await data.write(resources);
  await assertCaughtUp(gateway, etcd);
  const again = startLoad(t, { port: gateway.port, questions: steadyQuestions });
  wire.refuse(true);
  wire.cut();
  await data.deletePrefix("/headgate/routes/");
  await untilStatus(gateway, "the outage to be noticed", ({ store }) => !store.connected);
  await again.more(50);
  assert.equal(again.failed, 0, again.failures.join("\n"));
  await again.stop();
  wire.refuse(false);
  await assertCaughtUp(gateway, etcd);
});
