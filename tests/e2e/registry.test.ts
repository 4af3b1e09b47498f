import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { register } from "../../packages/client/src/index.ts";
import { request } from "../kit/client.ts";
import { compileCache } from "../kit/command.ts";
import { echoUpstream } from "../kit/echo.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import { launchGateway, repositoryRoot, type GatewayProcess } from "../kit/gateway.ts";
import { newestFirst, type Scope } from "../kit/scope.ts";
import { startStoreGateway } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const skip = etcdMissing ?? false;

const resources = {
  "/headgate/services/users": { discover: { etcd: "users" } },
  "/headgate/routes/users": { match: { path: "/*" }, to: "users" },
};

async function status(scope: Scope, gateway: GatewayProcess): Promise<number> {
  return (await request(scope, gateway.port, "/x")).status;
}

async function untilStatus(scope: Scope, gateway: GatewayProcess, wanted: number): Promise<void> {
  let last = 0;
  await waitFor(async () => (last = await status(scope, gateway)) === wanted, {
    what: () => `${wanted}, not ${last}; log: ${gateway.logs.stderr.slice(-2_000)}`,
    deadlineMs: 20_000,
  });
}

async function open(scope: Scope) {
  const etcd = await startEtcd(scope);
  await new EtcdData(etcd.endpoint).write(resources);
  const gateway = await startStoreGateway(scope, `127.0.0.1:${etcd.clientPort}`, { env: compileCache });
  const upstream = await echoUpstream(scope);
  assert.equal(await status(scope, gateway), 503);
  return { etcd, gateway, address: `127.0.0.1:${upstream.port}` };
}

test(
  "an instance put with etcdctl serves until its lease ends, and takes nothing new while it drains",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const { etcd, gateway, address } = await open(scope);
    const lease = /lease (\S+) granted/.exec(await etcd.ctl("lease", "grant", "600"))?.[1] ?? "";
    const key = `/services/users/${address}`;
    await etcd.ctl("put", `--lease=${lease}`, key, "active");
    await untilStatus(scope, gateway, 200);
    await etcd.ctl("put", `--lease=${lease}`, key, '{"status":"DRAINING"}');
    await untilStatus(scope, gateway, 503);
    await etcd.ctl("put", `--lease=${lease}`, key, '{"status":"UP"}');
    await untilStatus(scope, gateway, 200);
    await etcd.ctl("lease", "revoke", lease);
    await untilStatus(scope, gateway, 503);
  },
);

test("a service with the kit registers in etcd and over a gateway, and is gone when it ends", { skip }, async (t) => {
  const scope = newestFirst(t);
  const { etcd, gateway, address } = await open(scope);
  for (const to of [{ etcd: [etcd.endpoint] }, { gateway: gateway.adminUrl, token: await gateway.token() }]) {
    const registration = await register({ service: "users", address, to, ttl: "5s", signals: false, log: () => {} });
    scope.after(() => registration.end());
    await untilStatus(scope, gateway, 200);
    await registration.end();
    await untilStatus(scope, gateway, 503);
  }
});

/** `headgate register`, as people run it. */
function keepRegistered(scope: Scope, gateway: GatewayProcess, address: string) {
  const child = spawn(
    path.join(repositoryRoot, "packages/gateway/bin/headgate"),
    ["register", "users", address, "--ttl", "2s"],
    {
      cwd: gateway.directory,
      env: { ...process.env, ...compileCache, HEADGATE_ADMIN: `127.0.0.1:${gateway.adminPort}` },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  const said = { err: "" };
  child.stderr.setEncoding("utf8").on("data", (text: string) => void (said.err += text));
  const exited = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  scope.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  return { child, said, exited };
}

test(
  "headgate register keeps an instance; interrupted it takes it away, killed the lease does",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const { etcd, gateway, address } = await open(scope);
    const first = keepRegistered(scope, gateway, address);
    await untilStatus(scope, gateway, 200);
    const atMs = performance.now();
    // Longer than the lease: it would be gone if nobody kept it alive.
    await waitFor(() => performance.now() - atMs > 4_000, { what: "the lease to have been renewed" });
    assert.equal(await status(scope, gateway), 200);
    first.child.kill("SIGINT");
    assert.equal(await first.exited, 0, first.said.err);
    assert.match(first.said.err, /is registered\.\n.*is taken away\.\n$/s);
    assert.equal((await etcd.ctl("get", "--prefix", "/services/")).trim(), "");
    assert.equal(await status(scope, gateway), 503);

    const second = keepRegistered(scope, gateway, address);
    await untilStatus(scope, gateway, 200);
    second.child.kill("SIGKILL");
    await second.exited;
    await untilStatus(scope, gateway, 503);
  },
);

test("a gateway that starts while etcd is down knows the instances of its last run", { skip }, async (t) => {
  const scope = newestFirst(t);
  const { etcd, gateway, address } = await open(scope);
  await etcd.ctl("put", `/services/users/${address}`, "active");
  await untilStatus(scope, gateway, 200);
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null });
  await etcd.kill();
  const args = ["--store", `etcd://127.0.0.1:${etcd.clientPort}/headgate/`];
  const again = await launchGateway(scope, { args, after: gateway, env: compileCache });
  await waitFor(
    async () => {
      const response = await fetch(`${again.adminUrl}/readyz`).catch(() => undefined);
      return response?.status === 200;
    },
    { what: () => `readiness: ${again.logs.stderr.slice(-2_000)}` },
  );
  assert.equal(await status(scope, again), 200);
});
