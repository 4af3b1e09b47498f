import { after, type TestContext } from "node:test";
import { startEtcd, etcdMissing, type Etcd } from "../../../../../../tests/kit/etcd.ts";
import { faultProxy } from "../../../../../../tests/kit/fault-proxy.ts";
import { ManualScope } from "../../../../../../tests/kit/scope.ts";
import type { TestStore } from "../store.fixtures.ts";
import { storeSuite } from "../store.suite.ts";
import { openStore } from "./etcd.fixtures.ts";

const scope = new ManualScope();
let etcd: Promise<Etcd> | undefined;
after(() => scope.close());

/** One etcd for all tests of the suite: each has keys of its own. */
async function open(t: TestContext): Promise<TestStore> {
  const server = await (etcd ??= startEtcd(scope));
  const proxy = await faultProxy(t, server.clientPort);
  const store = openStore(t, [`http://${proxy.address}`]);
  return { store, cutConnections: () => proxy.cut(), restart: () => server.restart() };
}

storeSuite("etcd", open, { skip: etcdMissing });
