import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import test from "node:test";
import { request } from "../kit/client.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import { faultProxy } from "../kit/fault-proxy.ts";
import { launchGateway, type GatewayProcess } from "../kit/gateway.ts";
import { freePort } from "../kit/ports.ts";
import { newestFirst, type Scope } from "../kit/scope.ts";
import { assertCaughtUp, respondRoute, startStoreGateway, storeStatus, untilStatus } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const skip = etcdMissing;

async function phase(gateway: GatewayProcess): Promise<string> {
  const response = await fetch(`${gateway.adminUrl}/readyz`).catch(() => undefined);
  return response === undefined ? "not there" : `${response.status} ${(await response.text()).trim()}`;
}

const ready = "200 ready";

async function untilReady(gateway: GatewayProcess): Promise<void> {
  await waitFor(async () => (await phase(gateway)) === ready, { what: () => `readiness: ${gateway.logs.stderr}` });
}

function launch(scope: Scope, port: number, after?: GatewayProcess): Promise<GatewayProcess> {
  const args = ["--store", `etcd://127.0.0.1:${port}/headgate/`];
  return launchGateway(scope, { args, ...(after === undefined ? {} : { after }) });
}

test(
  "a gateway that knows nothing waits for its etcd, says so, and serves as soon as it comes",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const port = await freePort();
    const waiting = await launch(scope, port);
    await waitFor(async () => (await phase(waiting)) === "503 starting", { what: "the admin address" });
    await waitFor(() => waiting.logs.stderr.includes("cannot be read"), { what: "a word of the outage" });
    const status = await storeStatus(waiting);
    assert.equal(status.store.connected, false);
    assert.match(status.store.reason, new RegExp(`127\\.0\\.0\\.1:${port}`));
    await assert.rejects(request(t, waiting.port, "/x"), "nothing is answered before it is known what");

    // Something else has taken the port.
    let asked = 0;
    const other = http.createServer((_request, response) => response.end("no etcd")).on("connection", () => asked++);
    await once(other.listen(port, "127.0.0.1"), "listening");
    await waitFor(() => asked > 1, { what: "the gateway to ask a second time" });
    assert.equal(await phase(waiting), "503 starting");
    other.closeAllConnections();
    other.close();
    await once(other, "close");

    const etcd = await startEtcd(scope);
    const wire = await faultProxy(scope, etcd.clientPort);
    await new EtcdData(etcd.endpoint).write({ "/headgate/routes/x": respondRoute("/x", "there") });
    // As if it had come up where it was looked for.
    const relay = await faultProxy(scope, wire.port, port);
    assert.equal(relay.port, port);
    await untilReady(waiting);
    assert.equal((await request(t, waiting.port, "/x")).text, "there");
    assert.equal((await storeStatus(waiting)).configSource, "live");

    const impatient = await launch(scope, await freePort());
    await waitFor(() => impatient.logs.stderr.includes("cannot be read"), { what: "a word of the outage" });
    assert.deepEqual(await impatient.stop(), { code: 0, signal: null });
  },
);

test(
  "an etcd that accepts connections and never answers does not keep a gateway from starting with what it knew",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const etcd = await startEtcd(scope);
    const data = new EtcdData(etcd.endpoint);
    await data.write({ "/headgate/routes/x": respondRoute("/x", "known") });
    const first = await startStoreGateway(scope, `127.0.0.1:${etcd.clientPort}`);
    await first.stop();
    etcd.stop();
    const gateway = await launch(scope, etcd.clientPort, first);
    await untilReady(gateway);
    assert.equal((await request(t, gateway.port, "/x")).text, "known");
    const { configSource, store } = await storeStatus(gateway);
    assert.deepEqual([configSource, store.connected], ["cache", false]);
    // What cannot be stored is refused rather than forgotten, and soon.
    const put = await gateway.admin("/v1/routes/y", {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(respondRoute("/y", "y")),
    });
    assert.equal(put.status, 503, await put.text());
    etcd.cont();
    await data.write({ "/headgate/routes/x": respondRoute("/x", "newer") });
    await assertCaughtUp(gateway, etcd);
    await waitFor(async () => (await request(t, gateway.port, "/x")).text === "newer", { what: "the newer route" });
    // The registry is listed by itself, and may have paused after its last try for longer than the configuration.
    await waitFor(async () => (await storeStatus(gateway)).configSource === "live", { what: "the registry" });
    assert.equal(await gateway.metric("headgate_config_source", { source: "live" }), 1);
  },
);

test("an etcd that asks who is there lets in who knows the password, and others hear why not", { skip }, async (t) => {
  const scope = newestFirst(t);
  const etcd = await startEtcd(scope);
  await new EtcdData(etcd.endpoint).write({ "/headgate/routes/x": respondRoute("/x", "there") });
  for (const command of ["user add root:pass:word", "user grant-role root root", "auth enable"]) {
    await etcd.ctl(...command.split(" "));
  }
  const address = `127.0.0.1:${etcd.clientPort}`;
  const gateway = await startStoreGateway(scope, `root:pass%3Aword@${address}`);
  assert.equal((await request(t, gateway.port, "/x")).text, "there");
  assert.doesNotMatch(JSON.stringify(await gateway.status()) + gateway.logs.stderr, /pass/);
  const stranger = await launchGateway(scope, { args: ["--store", `etcd://root:wrong@${address}/headgate/`] });
  await waitFor(async () => (await phase(stranger)) === "503 starting", { what: "the admin address" });
  const { store } = await untilStatus(stranger, "the refusal", (status) =>
    /password|authentication/i.test(status.store.reason),
  );
  assert.doesNotMatch(store.reason + stranger.logs.stderr, /wrong@|:wrong/);
  assert.equal(await phase(stranger), "503 starting");
});

test("gateways on one etcd serve the same, and each is told when another comes or goes", { skip }, async (t) => {
  const scope = newestFirst(t);
  const etcd = await startEtcd(scope);
  const data = new EtcdData(etcd.endpoint);
  const address = `127.0.0.1:${etcd.clientPort}`;
  const one = await startStoreGateway(scope, address);
  const two = await startStoreGateway(scope, address);
  const ids = (gateway: GatewayProcess, count: number): Promise<unknown> =>
    untilStatus(gateway, `${count} nodes`, ({ nodes }) => nodes.length === count);
  await Promise.all([ids(one, 2), ids(two, 2)]);
  const revision = await data.write({ "/headgate/routes/x": respondRoute("/x", "x") });
  await untilStatus(two, "both to run it", ({ nodes }) => nodes.every((node) => node.revision >= revision));
  for (const gateway of [one, two]) assert.equal((await request(t, gateway.port, "/x")).text, "x");
  // One that ends in good order is gone at once, one that is killed when its lease ends.
  await one.stop();
  await ids(two, 1);
  // A wiped store forgets the nodes; the one that runs comes back.
  await etcd.wipe();
  await waitFor(
    async () => (await etcd.ctl("get", "--prefix", "/headgate/nodes/")).includes(`"${(await storeStatus(two)).node}"`),
    {
      what: "the node's key after the store was wiped",
      deadlineMs: 30_000,
    },
  );
});
