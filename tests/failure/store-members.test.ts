import assert from "node:assert/strict";
import test from "node:test";
import { echoUpstream } from "../kit/echo.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { startEtcdCluster } from "../kit/etcd-cluster.ts";
import { etcdMissing } from "../kit/etcd.ts";
import { startLoad } from "../kit/load.ts";
import { newestFirst } from "../kit/scope.ts";
import {
  assertCaughtUp,
  respondRoute,
  startStoreGateway,
  steadyQuestions,
  steadyResources,
  untilStatus,
} from "../kit/store.ts";

const skip = etcdMissing;

test(
  "members of an etcd cluster may die and be replaced, and a majority may be lost for a while",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const cluster = await startEtcdCluster(scope, 3);
    const [first, second, third] = cluster.members;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    // The third is not told to the gateway and always runs: changes are made there.
    const data = new EtcdData(`http://127.0.0.1:${third.clientPort}`);
    await data.write(steadyResources((await echoUpstream(scope)).address));
    const addresses = [first, second].map(({ clientPort }) => `127.0.0.1:${clientPort}`).join(",");
    const gateway = await startStoreGateway(scope, addresses, { workers: 2 });
    const load = startLoad(scope, { port: gateway.port, questions: steadyQuestions });
    let number = 0;
    const scenario = async (what: string, happen: () => Promise<unknown>): Promise<void> => {
      await t.test(what, async () => {
        await happen();
        await cluster.ready();
        await assertCaughtUp(gateway, cluster);
        await data.write({ "/headgate/routes/round": respondRoute("/round", String(++number)) });
        await assertCaughtUp(gateway, cluster);
        await load.more(8);
        assert.equal(load.failed, 0, load.failures.join("\n"));
      });
    };

    await scenario("the member that was asked dies", () => first.kill());
    await scenario("it is replaced by another with the same address", () => cluster.replace(first));
    await scenario("the other one dies", () => second.kill());
    await scenario("it comes back", () => second.restart());
    await scenario("a majority is lost, and comes back", async () => {
      const replaced = cluster.members.filter(({ name }) => name !== third.name);
      await Promise.all(replaced.map((member) => member.kill()));
      await untilStatus(gateway, "the loss to be noticed", ({ store }) => !store.connected);
      await Promise.all(replaced.map((member) => member.restart()));
    });
  },
);
