import assert from "node:assert/strict";
import test from "node:test";
import { request } from "../kit/client.ts";
import { compileCache } from "../kit/command.ts";
import { runHeadgate, simpleDocument, startGateway } from "../kit/gateway.ts";
import { deadPort } from "../kit/ports.ts";
import { newestFirst } from "../kit/scope.ts";
import { answerAll, scriptedUpstream } from "../kit/upstream.ts";
import { deferred, waitFor } from "../kit/wait.ts";

/** One route whose requests are queued, and one whose are not. */
function document(address: string, delivery: Readonly<Record<string, unknown>> = {}) {
  return simpleDocument(address, {
    routes: {
      later: { match: { path: "/later/*" }, to: "s", use: [{ "strip-prefix": "/later" }], delivery },
      now: { match: { path: "/now" }, to: "s" },
    },
  });
}

test("a queued request is delivered as it would have been sent, once, with a key", async (t) => {
  const scope = newestFirst(t);
  const upstream = await scriptedUpstream(scope, answerAll);
  const gateway = await startGateway(scope, { document: document(upstream.address), workers: 2, env: compileCache });
  const body = JSON.stringify({ order: 1 });
  const init = { method: "POST", headers: { authorization: "Bearer t", "content-type": "application/json" }, body };
  const response = await request(scope, gateway.port, "/later/orders?a=1", init);
  assert.equal(response.status, 202);
  const { id } = JSON.parse(response.text) as { id: string };
  await waitFor(() => upstream.requests().length === 1, { what: () => `the delivery; log: ${gateway.logs.stderr}` });
  const [arrived] = upstream.requests();
  assert.equal(arrived?.startLine, "POST /orders?a=1 HTTP/1.1");
  assert.equal(arrived.text, body);
  assert.deepEqual(
    ["idempotency-key", "authorization", "content-type", "host"].map((name) => arrived.get(name)),
    [id, "Bearer t", "application/json", "test.example"],
  );
  await waitFor(async () => (await gateway.metric("headgate_queue_deliveries_total", { outcome: "delivered" })) === 1);
  assert.equal((await request(scope, gateway.port, "/now")).status, 200);
});

test("messages wait for a service that is down, survive the gateway's death, and are delivered when both are back", async (t) => {
  const scope = newestFirst(t);
  const port = await deadPort();
  const config = document(`127.0.0.1:${port}`, { backoff: "50ms", backoffMax: "200ms" });
  const first = await startGateway(scope, { document: config, env: compileCache });
  const ids = new Set<string>();
  for (let count = 0; count < 5; count++) {
    const response = await request(scope, first.port, "/later/x", { method: "POST", body: String(count) });
    ids.add((JSON.parse(response.text) as { id: string }).id);
  }
  await waitFor(async () => (await first.metric("headgate_queue_deliveries_total", { outcome: "retried" })) > 0);
  await first.kill();
  const upstream = await scriptedUpstream(scope, answerAll, port);
  const second = await startGateway(scope, { document: config, after: first, env: compileCache });
  await waitFor(() => upstream.requests().length >= 5, { what: () => `deliveries; log: ${second.logs.stderr}` });
  assert.deepEqual(new Set(upstream.requests().map((arrived) => arrived.get("idempotency-key"))), ids);
  await waitFor(async () => (await second.metric("headgate_queue_messages", { state: "waiting" })) === 0);
  // What the first one had recorded of tries that failed was kept, and nothing was delivered twice.
  assert.equal(upstream.requests().length, 5);
});

test("the same key is delivered once; what the instance refuses goes to the dead-letter list", async (t) => {
  const scope = newestFirst(t);
  const upstream = await scriptedUpstream(scope, async (connection) => {
    for (;;) {
      const { target } = await connection.request();
      connection.send(`HTTP/1.1 ${target === "/bad" ? "404 No" : "200 OK"}\r\ncontent-length: 0\r\n\r\n`);
    }
  });
  const gateway = await startGateway(scope, { document: document(upstream.address), env: compileCache });
  const post = (target: string, body: string, key: string) =>
    request(scope, gateway.port, target, { method: "POST", headers: { "idempotency-key": key }, body });
  const [one, again, other] = [
    await post("/later/a", "a", "k"),
    await post("/later/a", "a", "k"),
    await post("/later/a", "b", "k"),
  ];
  assert.deepEqual([one.status, again.status, other.status], [202, 202, 422]);
  assert.equal(again.text, one.text);
  assert.match(other.text, /HG_IDEMPOTENCY_CONFLICT/);
  await waitFor(() => upstream.requests().length === 1);
  assert.equal(upstream.requests()[0]?.get("idempotency-key"), "k");
  await request(scope, gateway.port, "/later/bad", { method: "PUT", body: "x" });
  await waitFor(async () => (await gateway.metric("headgate_queue_messages", { state: "dead" })) === 1);
  assert.match(gateway.logs.stderr, /1 message went to the dead-letter list: s \(refused\)/);
  assert.equal(upstream.requests().length, 2);
});

test("SIGTERM lets a delivery finish; what had not begun is delivered after the next start", async (t) => {
  const scope = newestFirst(t);
  const gate = deferred();
  const upstream = await scriptedUpstream(scope, async (connection, index) => {
    for (;;) {
      await connection.request();
      if (index === 0) await gate.promise;
      connection.ok();
    }
  });
  const delivered = () => upstream.requests().filter(({ target }) => target === "/x");
  const config = document(upstream.address);
  const first = await startGateway(scope, { document: config, env: compileCache });
  for (const body of ["1", "2", "3"]) {
    assert.equal((await request(scope, first.port, "/later/x", { method: "POST", body })).status, 202);
  }
  await waitFor(() => delivered().length === 1);
  first.signal("SIGTERM");
  await waitFor(() =>
    request(scope, first.port, "/now").then(
      () => false,
      () => true,
    ),
  );
  gate.resolve();
  assert.deepEqual(await first.exited, { code: 0, signal: null });
  assert.equal(delivered().length, 1);
  await startGateway(scope, { document: config, after: first, env: compileCache });
  await waitFor(() => delivered().length === 3);
  assert.deepEqual(
    delivered()
      .map(({ text }) => text)
      .toSorted(),
    ["1", "2", "3"],
  );
});

test("operators see what waits and what died, deliver it again, and delete it", async (t) => {
  const scope = newestFirst(t);
  let status = 404;
  const upstream = await scriptedUpstream(scope, async (connection) => {
    for (;;) {
      await connection.request();
      connection.send(`HTTP/1.1 ${status} X\r\ncontent-length: 0\r\n\r\n`);
    }
  });
  const gateway = await startGateway(scope, { document: document(upstream.address), env: compileCache });
  const headgate = (...args: string[]) =>
    runHeadgate(["queue", ...args, "--admin", `127.0.0.1:${gateway.adminPort}`], { cwd: gateway.directory });
  assert.match((await headgate()).stdout, /^0 waiting, 0 being delivered/);
  const init = { method: "POST", headers: { authorization: "Bearer t" }, body: "some text" };
  const { id } = JSON.parse((await request(scope, gateway.port, "/later/a?b=1", init)).text) as { id: string };
  await waitFor(async () => /1 dead/.test((await headgate()).stdout));
  const listed = await headgate("list", "--state", "dead");
  assert.match(listed.stdout, new RegExp(`^${id}  dead: refused  later  s +POST /a\\?b=1  1 .*answered 404\\.$`, "m"));
  const shown = await headgate("show", id);
  assert.match(shown.stdout, /authorization: \[redacted\]/);
  assert.match(shown.stdout, /some text/);
  status = 200;
  assert.equal((await headgate("replay", id)).stdout, "1 message replayed.\n");
  await waitFor(() => upstream.requests().length === 2);
  assert.equal(upstream.requests()[1]?.get("idempotency-key"), id);
  await waitFor(async () => (await headgate("show", id)).code === 1);
  status = 410;
  await request(scope, gateway.port, "/later/b", init);
  await waitFor(async () => (await headgate("purge", "--dead")).stdout === "1 message purged.\n");
  assert.match((await headgate()).stdout, /^0 waiting, 0 being delivered \(0 bytes\), 0 dead\n$/);
});

test("while the circuit breaker is open messages wait, and their attempts are not used up", async (t) => {
  const scope = newestFirst(t);
  let status = 503;
  const upstream = await scriptedUpstream(scope, async (connection) => {
    for (;;) {
      await connection.request();
      connection.send(`HTTP/1.1 ${status} X\r\ncontent-length: 0\r\n\r\n`);
    }
  });
  const config = document(upstream.address, { backoff: "10ms", backoffMax: "10ms" });
  const broken = {
    ...config,
    services: {
      s: {
        instances: [{ address: upstream.address }],
        circuitBreaker: { consecutive: 3, open: "1s" },
        outlierDetection: false,
      },
    },
  };
  const gateway = await startGateway(scope, { document: broken, env: compileCache });
  const ids: string[] = [];
  for (let count = 0; count < 8; count++) {
    const response = await request(scope, gateway.port, "/later/x", { method: "POST", body: String(count) });
    ids.push((JSON.parse(response.text) as { id: string }).id);
  }
  const deferred = () => gateway.metric("headgate_queue_deliveries_total", { outcome: "deferred" });
  await waitFor(async () => (await deferred()) >= 2, { what: () => `a breaker; log: ${gateway.logs.stderr}` });
  const { messages } = (await (await gateway.admin("/v1/queue")).json()) as { messages: { attempts: number }[] };
  const failed = messages.reduce((sum, { attempts }) => sum + attempts, 0);
  // Each that was sent failed; what the breaker kept back did not count.
  assert.ok(failed <= upstream.requests().length, `${failed} failures of ${upstream.requests().length} requests`);
  assert.equal(messages.length, ids.length);
  status = 200;
  await waitFor(async () => (await gateway.metric("headgate_queue_messages", { state: "waiting" })) === 0, {
    what: () => `the messages to be delivered; log: ${gateway.logs.stderr}`,
    deadlineMs: 20_000,
  });
  await waitFor(async () => (await gateway.metric("headgate_queue_deliveries_total", { outcome: "delivered" })) === 8);
});

test("with the proxy in the main thread it is the same", async (t) => {
  const scope = newestFirst(t);
  const upstream = await scriptedUpstream(scope, answerAll);
  const gateway = await startGateway(scope, { document: document(upstream.address), workers: 0, env: compileCache });
  const response = await request(scope, gateway.port, "/later/x", { method: "POST", body: "text" });
  assert.equal(response.status, 202);
  await waitFor(() => upstream.requests().length === 1);
  assert.equal(upstream.requests()[0]?.text, "text");
});
