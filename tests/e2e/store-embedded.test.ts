import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import test from "node:test";
import { request } from "../kit/client.ts";
import { seededRandom } from "../kit/clock.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { freePort } from "../kit/ports.ts";
import { respondRoute } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const run = promisify(execFile);
const clientPath = "/usr/bin/etcdctl";
const clientMissing = existsSync(clientPath) ? false : 'etcdctl is missing: install the Debian package "etcd-client"';

async function ctl(port: number, ...args: string[]): Promise<string> {
  const env = { PATH: "/usr/bin:/bin", ETCDCTL_API: "3" };
  return (await run(clientPath, [`--endpoints=127.0.0.1:${port}`, "--command-timeout=2s", ...args], { env })).stdout;
}

function put(gateway: GatewayProcess, name: string, value: unknown): Promise<Response> {
  const body = JSON.stringify(value);
  return gateway.admin(`/v1/routes/${name}`, { method: "PUT", headers: { "content-type": "application/json" }, body });
}

async function routes(gateway: GatewayProcess): Promise<Record<string, unknown>> {
  return (await (await gateway.admin("/v1/routes")).json()) as Record<string, unknown>; // the admin API's contract
}

test("a gateway that is started with nothing serves, takes routes, and serves them again after a restart", async (t) => {
  let gateway = await startGateway(t, { workers: 2 });
  const empty = await request(t, gateway.port, "/x");
  assert.deepEqual([empty.status, empty.text.includes("HG_ROUTE_NOT_FOUND")], [404, true]);
  const created = await put(gateway, "x", respondRoute("/x", "one"));
  assert.equal(created.status, 201, await created.clone().text());
  const seen = async (path: string, text: string): Promise<unknown> =>
    waitFor(async () => (await request(t, gateway.port, path)).text === text, { what: `${path} to say ${text}` });
  await seen("/x", "one");
  const etag = created.headers.get("etag") ?? "";
  const stale = await gateway.admin("/v1/routes/x", { method: "DELETE", headers: { "if-match": '"1"' } });
  assert.equal(stale.status, 412);
  const replaced = await gateway.admin("/v1/routes/x", {
    method: "PUT",
    headers: { "if-match": etag, "content-type": "application/yaml" },
    body: "match: { path: /x }\nrespond: { status: 200, body: two }\n",
  });
  assert.equal(replaced.status, 200, await replaced.text());
  await seen("/x", "two");

  await gateway.stop();
  gateway = await startGateway(t, { workers: 2, after: gateway });
  assert.equal((await request(t, gateway.port, "/x")).text, "two");
  await gateway.kill();
  gateway = await startGateway(t, { workers: 2, after: gateway });
  assert.equal((await request(t, gateway.port, "/x")).text, "two");
  assert.equal((await gateway.admin("/v1/routes/x", { method: "DELETE" })).status, 200);
  await waitFor(async () => (await request(t, gateway.port, "/x")).status === 404, { what: "the route to be gone" });
});

const kills = 2;
const writersOfEach = 2;

test(
  "SIGKILL in the middle of writes loses nothing that was acknowledged, over the admin API and to etcdctl",
  { skip: clientMissing },
  async (t) => {
    const random = seededRandom(11);
    const port = await freePort();
    const args = ["--set", `gateway.store.embedded.listen=127.0.0.1:${port}`];
    let gateway = await startGateway(t, { args });
    /** By route: the newest number that was acknowledged, and the newest that was sent. */
    const acknowledged = new Map<string, number>();
    const sent = new Map<string, number>();
    let number = 0;

    /** Writes until the gateway is gone. */
    const writer = async (name: string, write: (route: object) => Promise<boolean>): Promise<void> => {
      for (let going = true; going;) {
        const mine = ++number;
        sent.set(name, mine);
        going = await write(respondRoute(`/${name}`, String(mine))).catch(() => false);
        if (going) acknowledged.set(name, mine);
      }
    };
    for (let round = 0; round < kills; round++) {
      const writers: Promise<void>[] = [];
      for (let n = 0; n < writersOfEach; n++) {
        writers.push(writer(`api-${n}`, async (route) => (await put(gateway, `api-${n}`, route)).ok));
        const key = `/headgate/routes/ctl-${n}`;
        writers.push(
          writer(`ctl-${n}`, async (route) => (await ctl(port, "put", key, JSON.stringify(route))) === "OK\n"),
        );
      }
      const target = number + 20;
      await waitFor(() => number > target && acknowledged.size === 2 * writersOfEach, { what: "writes" });
      await pause(random() * 100);
      await gateway.kill();
      await Promise.all(writers);
      gateway = await startGateway(t, { args, after: gateway });
      const stored = await routes(gateway);
      for (const [name, least] of acknowledged) {
        const text = JSON.stringify(stored[name]);
        const found = Number(/"body":"(\d+)"/.exec(text)?.[1]);
        assert.ok(found >= least && found <= (sent.get(name) ?? 0), `${name}: ${text}, ${least} was acknowledged`);
        assert.equal((await request(t, gateway.port, `/${name}`)).text, String(found));
      }
    }
  },
);

test("the embedded store is an etcd to etcdctl, and what it writes is live", { skip: clientMissing }, async (t) => {
  const port = await freePort();
  const gateway = await startGateway(t, { args: ["--set", `gateway.store.embedded.listen=127.0.0.1:${port}`] });
  await ctl(port, "put", "/headgate/routes/a", JSON.stringify(respondRoute("/a", "from etcdctl")));
  await waitFor(async () => (await request(t, gateway.port, "/a")).text === "from etcdctl", { what: "the route" });
  assert.equal((await put(gateway, "b", respondRoute("/b", "from the API"))).status, 201);
  assert.match(await ctl(port, "get", "--prefix", "/headgate/routes/"), /from etcdctl[^]*from the API/);
  await ctl(port, "put", "/headgate/routes/a", "garbage");
  await waitFor(async () => (await gateway.status()).problems.length === 1, { what: "the problem" });
  assert.equal((await request(t, gateway.port, "/a")).text, "from etcdctl");
  await ctl(port, "del", "/headgate/routes/a");
  await waitFor(async () => (await request(t, gateway.port, "/a")).status === 404, { what: "the route to be gone" });
  assert.deepEqual((await gateway.status()).problems, []);
});
