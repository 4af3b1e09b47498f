import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "../kit/client.ts";
import { consulEntry, consulServer } from "../kit/consul.ts";
import { dnsServer, type DnsRecord } from "../kit/dns-server.ts";
import { echoUpstream, type Echo } from "../kit/echo.ts";
import { launchGateway, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { kubernetesApi } from "../kit/kubernetes.ts";
import { nacosHost, nacosServer } from "../kit/nacos.ts";
import { newestFirst, type Scope } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";

function documentOf(discover: object): Record<string, unknown> {
  return { routes: { all: { match: { path: "/*" }, to: "s" } }, services: { s: { discover } } };
}

/** Requests one after the other until one is answered by `server`; each must be answered. */
async function untilServedBy(scope: Scope, gateway: GatewayProcess, server: string): Promise<number> {
  let requests = 0;
  await waitFor(
    async () => {
      requests++;
      const response = await request(scope, gateway.port, "/x");
      assert.equal(response.status, 200, `request ${requests}: ${gateway.logs.stderr.slice(-2_000)}`);
      return (JSON.parse(response.body.toString()) as Echo).server === server; // the echo's own answer
    },
    { what: `an answer of ${server}`, deadlineMs: 20_000 },
  );
  return requests;
}

test("DNS: a gateway without a store routes to what SRV records name, and follows a change without a failed request", async (t) => {
  const scope = newestFirst(t);
  const dns = await dnsServer(scope);
  const [one, two] = [await echoUpstream(scope, "one"), await echoUpstream(scope, "two")];
  const srv = ({ port }: { port: number }): DnsRecord[] => [
    { type: "SRV", priority: 0, weight: 0, port, target: "here.internal", ttl: 1 },
  ];
  dns.zone.set("A here.internal", [{ type: "A", address: "127.0.0.1", ttl: 1 }]);
  dns.zone.set("SRV _http._tcp.s.internal", srv(one));
  const discover = { dns: { name: "_http._tcp.s.internal", servers: [dns.address], interval: "1s" } };
  const document = documentOf(discover);
  const gateway = await startGateway(scope, { document });
  // Ready means that the source has answered.
  assert.equal(await untilServedBy(scope, gateway, "one"), 1);
  const shown = (await (await gateway.admin("/v1/instances/s")).json()) as { instances: { source: string }[] };
  assert.deepEqual(
    shown.instances.map(({ source }) => source),
    ["dns"],
  );

  dns.zone.set("SRV _http._tcp.s.internal", srv(two));
  await untilServedBy(scope, gateway, "two");
  // The configuration is what it was.
  assert.equal((await gateway.status()).revision, 1);

  dns.all = "SERVFAIL";
  await waitFor(async () => (await gateway.status()).problems.some(({ message }) => message.includes("ESERVFAIL")), {
    what: "the problem to be told",
  });
  assert.equal(await gateway.metric("headgate_discovery_failing", { service: "s", source: "dns" }), 1);
  assert.equal(await untilServedBy(scope, gateway, "two"), 1);

  // The next process knows what this one knew.
  await gateway.stop();
  const again = await launchGateway(scope, { document, after: gateway });
  await waitFor(async () => (await fetch(`${again.adminUrl}/readyz`).catch(() => undefined))?.status === 200, {
    what: () => `readiness: ${again.logs.stderr}`,
  });
  assert.equal(await untilServedBy(scope, again, "two"), 1);
});

interface ScriptedSource {
  /** What `discover` says. */
  readonly discover: object;
  /** The one instance, from now on. */
  readonly name: (address: string) => void;
}

const sources: [string, (scope: Scope) => Promise<ScriptedSource>][] = [
  [
    "Consul",
    async (scope) => {
      const server = await consulServer(scope);
      const discover = { consul: { service: "s", url: server.url } };
      return { discover, name: (address) => server.set([consulEntry(address)]) };
    },
  ],
  [
    "Nacos",
    async (scope) => {
      const server = await nacosServer(scope);
      server.cacheMillis = 1_000;
      const discover = { nacos: { service: "s", url: server.url } };
      return { discover, name: (address) => void (server.hosts = [nacosHost(address)]) };
    },
  ],
  [
    "Kubernetes",
    async (scope) => {
      const api = await kubernetesApi(scope);
      const discover = { kubernetes: { service: "s", url: api.url } };
      return {
        discover,
        name: (address) => {
          const [host = "", port] = address.split(":");
          api.put("s-1", { ports: [{ name: "http", port: Number(port) }], endpoints: [{ addresses: [host] }] });
        },
      };
    },
  ],
];
for (const [what, start] of sources) {
  test(`${what}: a gateway routes to the instance that is named, and follows a change without a failed request`, async (t) => {
    const scope = newestFirst(t);
    const { discover, name } = await start(scope);
    const [one, two] = [await echoUpstream(scope, "one"), await echoUpstream(scope, "two")];
    name(one.address);
    const gateway = await startGateway(scope, { document: documentOf(discover) });
    assert.equal(await untilServedBy(scope, gateway, "one"), 1);
    name(two.address);
    await untilServedBy(scope, gateway, "two");
    assert.equal(await untilServedBy(scope, gateway, "two"), 1);
  });
}
