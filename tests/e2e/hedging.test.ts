import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { RawClient, requestText, type RequestInit } from "../kit/client.ts";
import { startProxy, type ProxyInit, type ProxyUnderTest } from "../kit/proxy.ts";
import { scriptedUpstream, type ScriptedUpstream, type UpstreamConnection } from "../kit/upstream.ts";
import { waitFor } from "../kit/wait.ts";

interface Pair {
  readonly proxy: ProxyUnderTest;
  readonly upstreams: readonly ScriptedUpstream[];
  /** The connections on which a request has come, in the order of the requests. */
  readonly asked: UpstreamConnection[];
  /** Sends a request. */
  ask(init?: RequestInit): Promise<RawClient>;
  /** The same, and waits until it was hedged. */
  askTwo(init?: RequestInit): Promise<RawClient>;
  /** Waits until that many requests have reached an instance. */
  reached(count: number): Promise<void>;
}

const afterMs = 100;

/** Two instances that answer when the test says so, behind a service that hedges. */
async function pair(t: TestContext, more: Partial<ProxyInit["service"]> = {}, instances = 2): Promise<Pair> {
  const asked: UpstreamConnection[] = [];
  const silent = async (connection: UpstreamConnection): Promise<void> => {
    for (;;) {
      await connection.request();
      asked.push(connection);
    }
  };
  const upstreams: ScriptedUpstream[] = [];
  for (let i = 0; i < instances; i++) upstreams.push(await scriptedUpstream(t, silent));
  const proxy = await startProxy(t, {
    instances: upstreams.map(({ address }) => address),
    timersWait: true,
    service: {
      hedging: { afterMs, max: 1 },
      retry: { attempts: 1, on: ["connect", "reset", "503"], budgetRatio: 0.2, backoffMs: 0 },
      ...more,
    },
  });
  const ask = async (init?: RequestInit): Promise<RawClient> => {
    const client = await RawClient.connect(t, proxy.port);
    client.send(requestText("/", init));
    return client;
  };
  const reached = async (count: number): Promise<void> => void (await waitFor(() => asked.length >= count));
  const askTwo = async (init?: RequestInit): Promise<RawClient> => {
    const client = await ask(init);
    await reached(1);
    proxy.pass(afterMs);
    await reached(2);
    return client;
  };
  return { proxy, upstreams, asked, ask, askTwo, reached };
}

/** What is under way at the instances, as all threads see it. */
function idle({ proxy }: Pair): boolean {
  return proxy.underWay() === 0;
}

test("a request that is not answered in time is sent to another instance, and the first answer is taken", async (t) => {
  const at = await pair(t);
  const client = await at.askTwo();
  assert.notEqual(at.asked[0]?.socket.localPort, at.asked[1]?.socket.localPort);
  at.asked[1]?.ok("hedge");
  assert.equal((await client.response()).text, "hedge");
  await at.asked[0]?.waitClosed();
  await at.proxy.atRest();
  assert.equal(at.proxy.count("retries_total", { reason: "hedge" }), 1);
  assert.equal(at.proxy.count("upstream_requests_total", { outcome: "success" }), 1);
  assert.equal(at.proxy.count("upstream_requests_total", { outcome: "aborted" }), 1);
  assert.ok(idle(at));
});

test("the slow one is taken if it answers first, and the other is ended", async (t) => {
  const at = await pair(t);
  const client = await at.askTwo({ method: "PUT", body: "x" });
  assert.equal(at.asked[1]?.requests[0]?.body.toString(), "x");
  at.asked[0]?.ok("slow");
  assert.equal((await client.response()).text, "slow");
  await at.asked[1]?.waitClosed();
  await at.proxy.atRest();
  assert.equal(at.proxy.finished[0]?.instanceAddress, `127.0.0.1:${at.asked[0]?.socket.localPort}`);
  assert.ok(idle(at));
});

test("an answer before the time is over, and one that only its body is missing of, is not hedged", async (t) => {
  const at = await pair(t);
  const client = await at.ask();
  await at.reached(1);
  at.asked[0]?.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
  await client.until("ha");
  at.proxy.pass(10 * afterMs);
  at.asked[0]?.send("lf");
  assert.equal((await client.response()).text, "half");
  assert.equal(at.asked.length, 1);
});

const notHedged: readonly [string, RequestInit | undefined, Partial<ProxyInit["service"]>, number][] = [
  ["a POST", { method: "POST", body: "x" }, {}, 2],
  ["an upgrade", { headers: { connection: "upgrade", upgrade: "websocket" } }, {}, 2],
  ["a request without a budget", undefined, { retry: { attempts: 1, on: [], budgetRatio: 0, backoffMs: 0 } }, 2],
  ["a request to the only instance", undefined, {}, 1],
];
for (const [what, init, service, instances] of notHedged) {
  test(`${what} is not hedged`, async (t) => {
    const at = await pair(t, service, instances);
    const client = await at.ask(init);
    await at.reached(1);
    at.proxy.pass(2 * afterMs);
    at.asked[0]?.ok("only");
    assert.equal((await client.response()).text, "only");
    assert.equal(at.asked.length, 1);
    assert.equal(at.proxy.count("retries_total"), 0);
  });
}

test("a body that has not come in full, or is too long to be kept, is not hedged", async (t) => {
  for (const [length, sent] of [
    [10, 5],
    [100_000, 100_000],
  ] as const) {
    const at = await pair(t);
    const client = await RawClient.connect(t, at.proxy.port);
    client.send(`PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n${"x".repeat(sent)}`);
    await waitFor(() =>
      at.upstreams.some(({ connections }) => connections.some(({ received }) => received.includes("x"))),
    );
    at.proxy.pass(2 * afterMs);
    client.send("x".repeat(length - sent));
    await at.reached(1);
    at.asked[0]?.ok("only");
    assert.equal((await client.response()).text, "only");
    assert.equal(at.asked.length, 1);
  }
});

test("one of two that fails leaves the exchange to the other", async (t) => {
  const at = await pair(t);
  const client = await at.askTwo();
  at.asked[0]?.reset();
  await waitFor(() => at.proxy.count("upstream_requests_total", { outcome: "reset" }) === 1);
  at.asked[1]?.ok("other");
  assert.equal((await client.response()).text, "other");
  await at.proxy.atRest();
  assert.deepEqual([at.asked.length, idle(at)], [2, true]);
});

test("when both have failed the request is tried again as if there had been one", async (t) => {
  const at = await pair(t);
  const client = await at.askTwo();
  at.asked[0]?.reset();
  at.asked[1]?.send("HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbusy");
  await at.reached(3);
  at.asked[2]?.reset();
  assert.equal((await client.response()).status, 502);
  await at.proxy.atRest();
  assert.deepEqual([at.asked.length, idle(at)], [3, true]);
});

test("a status that is tried again is the answer after all when the hedge beside it fails", async (t) => {
  const at = await pair(t, { retry: { attempts: 0, on: ["503"], budgetRatio: 0.2, backoffMs: 0 } });
  const client = await at.askTwo();
  at.asked[0]?.send("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy");
  await waitFor(() => at.proxy.count("upstream_requests_total", { outcome: "error_status" }) === 1);
  at.asked[1]?.reset();
  const response = await client.response();
  assert.deepEqual([response.status, response.text], [503, "busy"]);
  await at.proxy.atRest();
  assert.ok(idle(at));
});

test("a client that goes away ends both", async (t) => {
  const at = await pair(t);
  const client = await at.askTwo();
  client.reset();
  await Promise.all(at.asked.map((connection) => connection.waitClosed()));
  await at.proxy.atRest();
  assert.equal(at.proxy.count("upstream_requests_total", { outcome: "aborted" }), 2);
  assert.ok(idle(at));
});

test("as many hedges are sent as the service allows, each after the same time", async (t) => {
  const at = await pair(t, { hedging: { afterMs, max: 2 } }, 4);
  const client = await at.ask();
  for (let count = 1; count <= 3; count++) {
    await at.reached(count);
    at.proxy.pass(afterMs);
  }
  at.proxy.pass(5 * afterMs);
  at.asked[1]?.ok("second");
  assert.equal((await client.response()).text, "second");
  await at.asked[0]?.waitClosed();
  await at.asked[2]?.waitClosed();
  await at.proxy.atRest();
  assert.equal(at.asked.length, 3);
  assert.equal(at.proxy.count("retries_total", { reason: "hedge" }), 2);
  assert.ok(idle(at));
});
