import { after, type TestContext } from "node:test";
import { openStore } from "../../packages/gateway/src/control/store/etcd/etcd.fixtures.ts";
import type { TestStore } from "../../packages/gateway/src/control/store/store.fixtures.ts";
import { storeSuite } from "../../packages/gateway/src/control/store/store.suite.ts";
import { faultProxy } from "../kit/fault-proxy.ts";
import { ManualScope } from "../kit/scope.ts";
import { startServed, type Served } from "./etcd-served.ts";

const scope = new ManualScope();
let served: Promise<Served> | undefined;
after(() => scope.close());

/** One server for all tests of the suite: each has keys of its own. */
async function open(t: TestContext): Promise<TestStore> {
  const server = await (served ??= startServed(scope));
  const proxy = await faultProxy(t, server.port);
  const store = openStore(t, [`http://${proxy.address}`]);
  return { store, cutConnections: () => proxy.cut(), restart: () => server.restart() };
}

storeSuite("the embedded store through its server and etcd's client", open);
