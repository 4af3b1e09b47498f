import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { request } from "../kit/client.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { deadPort } from "../kit/ports.ts";
import { answerAll, scriptedUpstream, type ScriptedUpstream } from "../kit/upstream.ts";
import { deferred } from "../kit/wait.ts";

/** The first connection answers one request and closes as the next arrives: the race every keep-alive pool has. */
async function racing(
  t: TestContext,
  end: "end" | "reset",
): Promise<{ upstream: ScriptedUpstream; gateway: GatewayProcess }> {
  const upstream = await scriptedUpstream(t, async (connection, index) => {
    if (index > 0) return answerAll(connection);
    await connection.request();
    connection.ok("first");
    await connection.request();
    connection[end]();
  });
  const gateway = await startGateway(t, { document: simpleDocument(upstream.address) });
  assert.equal((await request(t, gateway.port, "/warm")).text, "first");
  return { upstream, gateway };
}

for (const end of ["end", "reset"] as const) {
  test(`a GET that meets a connection closing by ${end} is answered over another`, async (t) => {
    const { upstream, gateway } = await racing(t, end);
    assert.equal((await request(t, gateway.port, "/again")).text, "GET /again ");
    assert.equal(upstream.connections.length, 2);
  });

  test(`a POST that meets a connection closing by ${end} is not sent twice`, async (t) => {
    const { upstream, gateway } = await racing(t, end);
    const response = await request(t, gateway.port, "/once", { method: "POST", body: "pay" });
    assert.equal(response.status, 502);
    assert.equal((JSON.parse(response.text) as { code: string }).code, "HG_UPSTREAM_RESET");
    assert.equal(upstream.requests().filter(({ method }) => method === "POST").length, 1);
  });
}

test("a connection that closed while idle is not used, also by a POST", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection, index) => {
    if (index > 0) return answerAll(connection);
    await connection.request();
    connection.ok("first");
    connection.end();
  });
  const gateway = await startGateway(t, { document: simpleDocument(upstream.address) });
  assert.equal((await request(t, gateway.port, "/warm")).text, "first");
  await (await upstream.connection(0)).waitClosed();
  assert.equal((await request(t, gateway.port, "/b", { method: "POST", body: "x" })).text, "POST /b x");
});

test("an instance that refuses connections costs no request while another one is there", async (t) => {
  const upstream = await scriptedUpstream(t, answerAll);
  const document = simpleDocument([`127.0.0.1:${await deadPort()}`, upstream.address]);
  const gateway = await startGateway(t, { document });
  for (let i = 0; i < 10; i++) {
    // Nothing was sent to the dead one, so that a POST may be tried again too.
    assert.equal((await request(t, gateway.port, `/${i}`, { method: "POST", body: "x" })).text, `POST /${i} x`);
  }
});

test("a status is retried where the service asks for it, and only as often", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    for (;;) {
      await connection.request();
      connection.send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    }
  });
  const services = (attempts: number): object => ({
    s: { instances: [{ address: upstream.address }], retry: { attempts, on: ["503"], budget: "100%", backoff: "1ms" } },
  });
  const gateway = await startGateway(t, { document: simpleDocument(upstream.address, { services: services(2) }) });
  const response = await request(t, gateway.port, "/a");
  assert.deepEqual([response.status, response.text], [503, "busy"]);
  assert.equal(upstream.requests().length, 3);
  await gateway.reload(simpleDocument(upstream.address, { services: services(0) }));
  await request(t, gateway.port, "/b");
  assert.equal(upstream.requests().length, 4);
});

test("once part of an answer has come it is not tried again", async (t) => {
  const sent = deferred();
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart");
    sent.resolve();
    connection.end();
  });
  const gateway = await startGateway(t, { document: simpleDocument(upstream.address) });
  await assert.rejects(request(t, gateway.port, "/a"), /closed before a whole response/);
  await sent.promise;
  assert.equal(upstream.connections.length, 1);
});
