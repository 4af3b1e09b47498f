import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "../kit/client.ts";
import { compileCache } from "../kit/command.ts";
import { echoUpstream } from "../kit/echo.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import { newestFirst, type Scope } from "../kit/scope.ts";
import { startStoreGateway } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const skip = etcdMissing ?? false;

/** A gateway on a real etcd with one service, `users`, and so many instances of it, registered under one lease. */
async function open(scope: Scope, count: number, more: object = {}) {
  const etcd = await startEtcd(scope);
  await new EtcdData(etcd.endpoint).write({
    "/headgate/services/users": { discover: { etcd: "users" }, balance: "round-robin", ...more },
    "/headgate/routes/users": { match: { path: "/*" }, to: "users" },
  });
  const gateway = await startStoreGateway(scope, `127.0.0.1:${etcd.clientPort}`, { env: compileCache });
  const upstreams = await Promise.all(Array.from({ length: count }, () => echoUpstream(scope)));
  const addresses = upstreams.map(({ port }) => `127.0.0.1:${port}`);
  const lease = /lease (\S+) granted/.exec(await etcd.ctl("lease", "grant", "600"))?.[1] ?? "";
  const announce = (address: string, value: string) =>
    etcd.ctl("put", `--lease=${lease}`, `/services/users/${address}`, value);
  for (const address of addresses) await announce(address, "active");
  await waitFor(async () => (await states(gateway)).size === count, { what: "the instances" });
  return { etcd, gateway, upstreams, addresses, lease, announce };
}

/** The state of each instance by address. */
async function states(gateway: GatewayProcess): Promise<Map<string, string>> {
  const { instances } = (await (await gateway.admin("/v1/instances/users")).json()) as {
    instances: { address: string; state: string; since?: string }[]; // the admin API's
  };
  // Those that the workers have.
  return new Map(instances.flatMap(({ address, state, since }) => (since === undefined ? [] : [[address, state]])));
}

async function untilState(gateway: GatewayProcess, address: string, wanted: string): Promise<void> {
  let last = new Map<string, string>();
  await waitFor(async () => (last = await states(gateway)).get(address) === wanted, {
    what: () => `${address} to be ${wanted}: ${JSON.stringify([...last])}; log: ${gateway.logs.stderr.slice(-2_000)}`,
  });
}

test("reports in etcd take instances out and back, are measured, and change no configuration", { skip }, async (t) => {
  const scope = newestFirst(t);
  const { etcd, gateway, upstreams, addresses, lease } = await open(scope, 2);
  const [a = "", b = ""] = addresses;
  const before = await gateway.metric("headgate_config_revision");
  const report = (address: string, value: object) =>
    etcd.ctl("put", `--lease=${lease}`, `/health/users/${address}`, JSON.stringify(value));
  const metrics = { cpuUsage: 0.65, memoryUsage: 0.72, requestLatencyMs: 45 };
  await report(a, { serviceId: "users", instanceId: a, status: "UP", metrics, timestamp: 1_767_225_600_000 });
  await waitFor(async () => (await gateway.metric("headgate_instance_cpu_usage", { instance: a })) === 0.65, {
    what: "the report",
  });
  assert.equal(await gateway.metric("headgate_instance_memory_usage", { service: "users", instance: a }), 0.72);
  assert.equal(await gateway.metric("headgate_instance_request_latency_seconds", { instance: a }), 0.045);

  await report(b, { status: "DOWN" });
  await untilState(gateway, b, "reported-down");
  const seen = upstreams[1]?.seen.length;
  for (let n = 0; n < 10; n++) assert.equal((await request(scope, gateway.port, "/x")).status, 200);
  assert.equal(upstreams[1]?.seen.length, seen);
  await etcd.ctl("del", `/health/users/${b}`);
  await untilState(gateway, b, "up");

  assert.equal(await gateway.metric("headgate_config_revision"), before, "a report was taken for a change");
  await etcd.ctl("lease", "revoke", lease);
  await waitFor(async () => (await gateway.metric("headgate_instance_cpu_usage")) === 0, {
    what: "the series to vanish",
  });
  const page = await (await gateway.admin("/metrics")).text();
  assert.ok(!page.includes("headgate_instance_cpu_usage{"));
});

test("an instance that drains finishes what runs and gets nothing new", { skip }, async (t) => {
  const scope = newestFirst(t);
  const { gateway, upstreams, addresses, announce } = await open(scope, 1);
  const [a = ""] = addresses;
  const running = request(scope, gateway.port, "/slow");
  await upstreams[0]?.arrived(1);
  await announce(a, '{"status":"DRAINING"}');
  await untilState(gateway, a, "draining");
  await waitFor(async () => (await request(scope, gateway.port, "/x")).status === 503, { what: "nothing new" });
  const seen = upstreams[0]?.seen.length;
  assert.equal((await request(scope, gateway.port, "/x")).status, 503);
  assert.equal(upstreams[0]?.seen.length, seen);
  await upstreams[0]?.release();
  assert.equal((await running).status, 200);
});

test("held instances that fail a check are given up before their minute is over", { skip }, async (t) => {
  const scope = newestFirst(t);
  const healthCheck = { path: "/healthz", interval: "200ms", timeout: "150ms", unhealthy: 50 };
  const { etcd, gateway, upstreams, addresses, lease } = await open(scope, 3, { healthCheck });
  const c = addresses[2] ?? "";
  await etcd.ctl("lease", "revoke", lease);
  for (const address of addresses) await untilState(gateway, address, "held");
  upstreams[0]?.close();
  upstreams[1]?.close();
  await waitFor(async () => (await states(gateway)).size === 1, { what: "those that are gone to go" });
  assert.deepEqual(await states(gateway), new Map([[c, "held"]]));
  assert.equal((await request(scope, gateway.port, "/x")).status, 200);
});
