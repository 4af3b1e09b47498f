import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { request } from "../kit/client.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { respondRoute } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const args = ["--store", "embedded:"];

function document(routes: Readonly<Record<string, object>>, more: object = {}): Record<string, unknown> {
  return { routes, ...more };
}

async function write(gateway: GatewayProcess, method: string, name: string, value?: object): Promise<Response> {
  const body = value === undefined ? {} : { body: JSON.stringify(value) };
  return gateway.admin(`/v1/${name}`, { method, headers: { "content-type": "application/json" }, ...body });
}

async function item(gateway: GatewayProcess, name: string): Promise<Record<string, unknown>> {
  const response = await gateway.admin(`/v1/${name}?details=true`);
  assert.equal(response.status, 200, name);
  return (await response.json()) as Record<string, unknown>; // the admin API's contract
}

function untilSays(t: TestContext, gateway: GatewayProcess, path: string, text: string): Promise<unknown> {
  let heard = "";
  return waitFor(async () => (heard = (await request(t, gateway.port, path)).text) === text, {
    what: () => `${path} to say ${text}; it says ${heard}; log: ${gateway.logs.stderr.slice(-2_000)}`,
  });
}

test("a file goes before the store, is read-only, and what is taken out of it is the store's again", async (t) => {
  const gateway = await startGateway(t, { document: document({}), args, workers: 2 });
  assert.equal((await write(gateway, "PUT", "routes/a", respondRoute("/a", "store"))).status, 201);
  assert.equal((await write(gateway, "PUT", "routes/b", respondRoute("/b", "store"))).status, 201);
  await untilSays(t, gateway, "/a", "store");
  await gateway.replace(document({ a: respondRoute("/a", "file"), c: respondRoute("/c", "file") }));
  await untilSays(t, gateway, "/a", "file");
  await untilSays(t, gateway, "/c", "file");
  assert.equal((await request(t, gateway.port, "/b")).text, "store");

  const above = await item(gateway, "routes/a");
  assert.deepEqual([above["source"], above["key"], above["revision"], above["live"]], ["file", null, null, true]);
  assert.deepEqual((await item(gateway, "routes/b"))["source"], "store");
  assert.equal((await gateway.admin("/v1/routes/a")).headers.get("etag"), '"file"');
  for (const [method, value] of [
    ["PUT", respondRoute("/a", "other")],
    ["DELETE", undefined],
  ] as const) {
    const refused = await write(gateway, method, "routes/a", value);
    assert.equal(refused.status, 409);
    assert.match(await refused.text(), /headgate\.yaml/);
  }
  assert.equal((await request(t, gateway.port, "/a")).text, "file");
  assert.deepEqual((await gateway.status()).problems, []);

  await gateway.replace(document({ c: respondRoute("/c", "file") }));
  await untilSays(t, gateway, "/a", "store");
  assert.equal((await item(gateway, "routes/a"))["source"], "store");
  assert.equal((await write(gateway, "PUT", "routes/a", respondRoute("/a", "store again"))).status, 200);
  await untilSays(t, gateway, "/a", "store again");
});

test("a file's route may use a service of the store, and a mistake in one keeps the other's changes going", async (t) => {
  const gateway = await startGateway(t, { document: document({}), args });
  assert.equal(
    (await write(gateway, "PUT", "middlewares/marked", { headers: { response: { set: { "x-mark": "1" } } } })).status,
    201,
  );
  await gateway.replace(document({ a: { ...respondRoute("/a", "file"), use: ["marked"] } }));
  await untilSays(t, gateway, "/a", "file");
  assert.equal((await request(t, gateway.port, "/a")).get("x-mark"), "1");
  assert.equal(
    (await write(gateway, "PUT", "middlewares/marked", { headers: { response: { set: { "x-mark": "2" } } } })).status,
    200,
  );
  await waitFor(async () => (await request(t, gateway.port, "/a")).get("x-mark") === "2", {
    what: "the store's change",
  });

  const before = await gateway.status();
  await gateway.replace("routes: [");
  await gateway.settled(before);
  assert.equal((await write(gateway, "PUT", "routes/b", respondRoute("/b", "store"))).status, 201);
  await untilSays(t, gateway, "/b", "store");
  assert.ok((await gateway.status()).problems.length > 0, "the file's mistake is still told");
  assert.equal((await request(t, gateway.port, "/a")).text, "file");
  await gateway.replace(document({}));
  await waitFor(async () => (await request(t, gateway.port, "/a")).status === 404, {
    what: "the file's route to be gone",
  });
  assert.deepEqual((await gateway.status()).problems, []);
  assert.equal((await request(t, gateway.port, "/b")).text, "store");
});

test("a file with routes serves while its store is away, and what would be written there is refused", async (t) => {
  const dead = await startGateway(t, {
    document: document({ a: respondRoute("/a", "file") }),
    args: ["--store", "etcd://127.0.0.1:1/headgate/"],
  });
  assert.equal((await request(t, dead.port, "/a")).text, "file");
  assert.equal((await write(dead, "PUT", "routes/b", respondRoute("/b", "store"))).status, 503);
});
