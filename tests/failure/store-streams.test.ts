import assert from "node:assert/strict";
import test from "node:test";
import { echoUpstream } from "../kit/echo.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdRelay, type WatchMessage } from "../kit/etcd-relay.ts";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import { startLoad } from "../kit/load.ts";
import { newestFirst } from "../kit/scope.ts";
import { assertCaughtUp, respondRoute, startStoreGateway, steadyQuestions, steadyResources } from "../kit/store.ts";
import { within } from "../kit/wait.ts";

/** Answers of etcd above 1.5 MiB come in pieces: so many of these together are more. */
const largeValues = 8;
const largeBody = "x".repeat(512 * 1024);

const skip = etcdMissing;

test("a watch that is cut after any kind of message loses nothing and repeats nothing", { skip }, async (t) => {
  const scope = newestFirst(t);
  const etcd = await startEtcd(scope);
  const data = new EtcdData(etcd.endpoint);
  await data.write(steadyResources((await echoUpstream(scope)).address));
  const relay = await etcdRelay(scope, `127.0.0.1:${etcd.clientPort}`);
  const gateway = await startStoreGateway(scope, relay.address, { workers: 2 });
  const load = startLoad(scope, { port: gateway.port, questions: steadyQuestions });
  let number = 0;
  const change = async (): Promise<void> => {
    number++;
    await data.write({
      "/headgate/routes/round": respondRoute("/round", String(number)),
      [`/headgate/routes/round-${number}`]: respondRoute(`/round/${number}`, String(number)),
      [`/headgate/routes/round-${number - 1}`]: undefined,
    });
  };
  const cutAfter = (kind: WatchMessage): Promise<void> =>
    within(relay.cutAfter(kind), `a message of the kind ${kind}`, 20_000);

  /** Makes the message come, and cuts after it. */
  const scenarios: Readonly<Record<WatchMessage, () => Promise<void>>> = {
    events: async () => {
      const events = cutAfter("events");
      await change();
      await events;
    },
    created: async () => {
      await scenarios.events();
      await cutAfter("created");
    },
    // The gateway asks for it when it has heard nothing for a while.
    progress: () => cutAfter("progress"),
    fragment: async () => {
      relay.refuse(true);
      await scenarios.events();
      // What was missed comes as one answer.
      for (let n = 0; n < largeValues; n++) {
        await data.write({ [`/headgate/routes/large-${n}`]: respondRoute(`/large/${n}`, largeBody) });
      }
      const fragment = cutAfter("fragment");
      relay.refuse(false);
      await fragment;
    },
  };
  for (const kind of ["events", "created", "events", "fragment", "progress"] as const) {
    await t.test(kind, async () => {
      const { failed } = load;
      await scenarios[kind]();
      await change();
      await assertCaughtUp(gateway, etcd);
      assert.equal(load.failed, failed, load.failures.join("\n"));
    });
  }
});
