import assert from "node:assert/strict";
import test from "node:test";
import { echoUpstream } from "../kit/echo.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import { faultProxy } from "../kit/fault-proxy.ts";
import { request } from "../kit/client.ts";
import { startLoad } from "../kit/load.ts";
import {
  assertCaughtUp,
  catchUpMsMax,
  respondRoute,
  startStoreGateway,
  steadyQuestions,
  steadyResources,
  untilStatus,
} from "../kit/store.ts";
import { newestFirst } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";

const changesWhileAway = 5_000;
const writersAtOnce = 50;

const skip = etcdMissing;

test(
  "an etcd that goes away and comes back costs no request, and its state is live within 3 s",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const etcd = await startEtcd(scope);
    const data = new EtcdData(etcd.endpoint);
    const echo = await echoUpstream(scope);
    await data.write(steadyResources(echo.address));
    const wire = await faultProxy(scope, etcd.clientPort);
    const gateway = await startStoreGateway(scope, wire.address, { workers: 2 });
    const load = startLoad(scope, { port: gateway.port, questions: steadyQuestions });
    let round = 0;

    /** Changes one thing of each sort, and waits until requests notice. */
    const change = async (): Promise<void> => {
      const number = String(++round);
      await data.write({
        "/headgate/routes/round": respondRoute("/round", number),
        [`/headgate/routes/round-${number}`]: respondRoute(`/round/${number}`, number),
        [`/headgate/routes/round-${round - 1}`]: undefined,
      });
    };
    const caughtUp = async (): Promise<void> => {
      const startedMs = performance.now();
      await assertCaughtUp(gateway, etcd);
      const leftMs = Math.max(1, catchUpMsMax - (performance.now() - startedMs));
      const answers = async (): Promise<boolean> => (await request(t, gateway.port, "/round")).text === String(round);
      await waitFor(answers, { what: `requests to notice round ${round}`, deadlineMs: leftMs });
      assert.equal((await request(t, gateway.port, `/round/${round}`)).status, 200);
      assert.equal((await request(t, gateway.port, `/round/${round - 1}`)).status, 404);
    };
    const noticed = (): Promise<unknown> =>
      untilStatus(gateway, "the outage to be noticed", ({ store }) => !store.connected);
    const cutOff = async (): Promise<void> => {
      wire.refuse(true);
      wire.cut();
      await noticed();
    };
    const scenario = async (what: string, happen: () => Promise<void>): Promise<void> => {
      await t.test(what, async () => {
        const { failed } = load;
        await happen();
        await caughtUp();
        await change();
        await caughtUp();
        await load.more(20);
        assert.equal(load.failed, failed, load.failures.join("\n"));
      });
    };

    await scenario("nothing happens", change);
    await scenario("killed and started again", async () => {
      await etcd.kill();
      await noticed();
      await etcd.restart();
    });
    await scenario("killed and started again at once", () => etcd.restart());
    await scenario("stopped until the silence is noticed, and continued", async () => {
      etcd.stop();
      await noticed();
      etcd.cont();
      await change();
    });
    await scenario("its port cut and opened again, with changes meanwhile", async () => {
      await cutOff();
      await change();
      wire.refuse(false);
    });
    await scenario("every connection reset, five times in a row", async () => {
      for (let cuts = 0; cuts < 5; cuts++) {
        await change();
        wire.cut();
        await load.more(10);
      }
    });
    await scenario(`packets held back, with ${changesWhileAway} changes meanwhile, and delivered`, async () => {
      wire.stall();
      let left = changesWhileAway;
      const writer = async (): Promise<void> => {
        while (left > 0) {
          const number = left--;
          await data.write({
            [`/headgate/routes/many-${number % 500}`]: respondRoute(`/many/${number}`, String(number)),
          });
        }
      };
      await Promise.all(Array.from({ length: writersAtOnce }, writer));
      await noticed();
      await change();
      wire.resume();
    });
    await scenario("compacted past what the gateway knows", async () => {
      await cutOff();
      await change();
      await change();
      await data.compact(await data.revision());
      wire.refuse(false);
    });
    assert.ok(load.answered > 200, `only ${load.answered} requests were asked`);
  },
);
