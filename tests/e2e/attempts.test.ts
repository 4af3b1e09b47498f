import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { ServiceResource } from "../../packages/schema/src/index.ts";
import { RawClient, request, requestText } from "../kit/client.ts";
import { startProxy, type ProxyInit, type ProxyUnderTest } from "../kit/proxy.ts";
import { answerAll, scriptedUpstream, type UpstreamConnection } from "../kit/upstream.ts";
import { waitFor } from "../kit/wait.ts";
import type { WireRequest } from "../kit/wire.ts";

const retry: ServiceResource["retry"] = {
  attempts: 1,
  on: ["connect", "reset", "timeout", "503"],
  budgetRatio: 1,
  backoffMs: 0,
};
const busy = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n";

interface Pair {
  readonly proxy: ProxyUnderTest;
  /** What reached an instance, in order. */
  readonly asked: { readonly connection: UpstreamConnection; readonly message: WireRequest }[];
  reached(count: number): Promise<void>;
}

/** Two instances; what to answer is the test's to say. */
async function pair(t: TestContext, init: Partial<ProxyInit> = {}): Promise<Pair> {
  const asked: Pair["asked"] = [];
  const listen = async (connection: UpstreamConnection): Promise<void> => {
    for (;;) asked.push({ message: await connection.request(), connection });
  };
  const upstreams = [await scriptedUpstream(t, listen), await scriptedUpstream(t, listen)];
  const instances = upstreams.map(({ address }) => address);
  const proxy = await startProxy(t, { instances, timersWait: true, ...init, service: { retry, ...init.service } });
  return { proxy, asked, reached: async (count) => void (await waitFor(() => asked.length >= count)) };
}

async function ask(t: TestContext, proxy: ProxyUnderTest, text = requestText("/")): Promise<RawClient> {
  const client = await RawClient.connect(t, proxy.port);
  client.send(text);
  return client;
}

test("a retry goes to another instance, after the time that the first has asked for", async (t) => {
  const at = await pair(t);
  const client = await ask(t, at.proxy);
  await at.reached(1);
  at.asked[0]?.connection.send(`${busy}retry-after: 2\r\n\r\nbusy`);
  await waitFor(() => at.proxy.count("upstream_requests_total") === 1);
  at.proxy.pass(1_950);
  assert.equal(at.proxy.count("retries_total"), 0);
  at.proxy.pass(50);
  await at.reached(2);
  assert.notEqual(at.asked[0]?.connection.socket.localPort, at.asked[1]?.connection.socket.localPort);
  at.asked[1]?.connection.ok("other");
  assert.equal((await client.response()).text, "other");
  assert.equal(at.proxy.count("retries_total", { reason: "503" }), 1);
});

const passedOn: readonly [string, string, Partial<ProxyInit>][] = [
  ["asks for longer than clients should be held", "retry-after: 6\r\n", {}],
  ["asks for longer than the exchange may take", "retry-after: 2\r\n", { route: { timeoutMs: 1_500 } }],
  ["is busy and there is no budget", "", { service: { retry: { ...retry, budgetRatio: 0 } } }],
];
for (const [what, field, init] of passedOn) {
  test(`the answer of an instance that ${what} is passed on`, async (t) => {
    const at = await pair(t, init);
    const client = await ask(t, at.proxy);
    await at.reached(1);
    at.asked[0]?.connection.send(`${busy}x-mine: 1\r\n${field}\r\nbusy`);
    const response = await client.response();
    assert.deepEqual([response.status, response.get("x-mine"), response.text], [503, "1", "busy"]);
    assert.equal(at.asked.length, 1);
    await at.proxy.atRest();
    assert.equal(at.proxy.underWay(), 0);
  });
}

test("an answer that is kept for a retry is lost with its connection: then the client gets an error", async (t) => {
  const at = await pair(t, { random: () => 0.9, service: { retry: { ...retry, backoffMs: 1_000, budgetRatio: 0 } } });
  const client = await ask(t, at.proxy);
  await at.reached(1);
  at.asked[0]?.connection.send(`${busy}\r\nbu`);
  await waitFor(() => at.proxy.count("upstream_requests_total") === 1);
  at.asked[0]?.connection.reset();
  await waitFor(() => at.proxy.gauge("upstream_connections active") === 0);
  at.proxy.pass(1_000);
  const response = await client.response();
  assert.deepEqual([response.status, (JSON.parse(response.text) as { code: string }).code], [502, "HG_UPSTREAM_RESET"]);
});

test("an instance that stays silent costs an idempotent request its time and no more", async (t) => {
  const at = await pair(t, { service: { retry: { ...retry, perTryMs: 500 } } });
  const client = await ask(t, at.proxy);
  await at.reached(1);
  at.proxy.pass(600);
  await at.reached(2);
  at.asked[1]?.connection.ok("other");
  assert.equal((await client.response()).text, "other");
  assert.equal(at.proxy.count("retries_total", { reason: "timeout" }), 1);
});

test("a body is sent again as it was", async (t) => {
  const body = "0123456789".repeat(6_000);
  const at = await pair(t);
  const client = await ask(t, at.proxy, requestText("/", { method: "PUT", body }));
  await at.reached(1);
  at.asked[0]?.connection.reset();
  await at.reached(2);
  assert.equal(at.asked[1]?.message.text, body);
  at.asked[1].connection.ok();
  assert.equal((await client.response()).status, 200);
});

test("a body that has outgrown what is kept is not sent again", async (t) => {
  const at = await pair(t);
  const client = await ask(t, at.proxy, `PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\n`);
  client.send("x".repeat(40_000));
  await waitFor(() => at.proxy.gauge("upstream_connections active") === 1);
  client.send("x".repeat(30_000));
  await at.reached(1);
  at.asked[0]?.connection.reset();
  assert.equal((await client.response()).status, 502);
  assert.equal(at.asked.length, 1);
});

const early: readonly [string, (connection: UpstreamConnection) => void][] = [
  ["refuses", (connection) => connection.send(`${busy}connection: close\r\n\r\nbusy`)],
  ["resets", (connection) => connection.reset()],
];
for (const [what, end] of early) {
  test(`an instance that ${what} before the body is there in full leaves it to another, which gets all of it`, async (t) => {
    const bodies: string[] = [];
    let first = true;
    const script = async (connection: UpstreamConnection): Promise<void> => {
      if (first) {
        first = false;
        await connection.until("half");
        end(connection);
        return;
      }
      bodies.push((await connection.request()).text);
      connection.ok("all");
    };
    const upstreams = [await scriptedUpstream(t, script), await scriptedUpstream(t, script)];
    const proxy = await startProxy(t, { instances: upstreams.map(({ address }) => address), service: { retry } });
    const client = await ask(t, proxy, "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    await waitFor(() => upstreams.every(({ connections }) => connections.length === 1));
    client.send("4\r\nrest\r\n0\r\n\r\n");
    assert.equal((await client.response()).text, "all");
    assert.deepEqual(bodies, ["halfrest"]);
    await proxy.atRest();
    assert.equal(proxy.underWay(), 0);
  });
}

/** The deadline as it reached the instance. */
async function deadlineSeen(
  t: TestContext,
  init: Partial<ProxyInit>,
  headers: Readonly<Record<string, string>> = {},
): Promise<string | undefined> {
  const upstream = await scriptedUpstream(t, answerAll);
  const proxy = await startProxy(t, { instance: upstream.address, ...init });
  assert.equal((await request(t, proxy.port, "/", { headers })).status, 200);
  const seen = upstream.requests()[0]?.getAll("x-envoy-expected-rq-timeout-ms") ?? [];
  assert.ok(seen.length <= 1);
  return seen[0];
}

test("instances are told what is left of the exchange's time, by the route or by a trusted proxy", async (t) => {
  const route = { timeoutMs: 2_000 };
  const trustedProxies = ["127.0.0.1/32"];
  const asked = (ms: string) => ({ "X-Envoy-Expected-Rq-Timeout-Ms": ms });
  assert.equal(await deadlineSeen(t, {}), undefined);
  assert.equal(await deadlineSeen(t, { route }), "2000");
  assert.equal(await deadlineSeen(t, {}, asked("500")), undefined);
  assert.equal(await deadlineSeen(t, { route }, asked("500")), "2000");
  assert.equal(await deadlineSeen(t, { trustedProxies }, asked("500")), "500");
  assert.equal(await deadlineSeen(t, { trustedProxies, route }, asked("500")), "500");
  assert.equal(await deadlineSeen(t, { trustedProxies, route }, asked("9000")), "2000");
  for (const nonsense of ["0", "-1", "1e3", "soon", ""]) {
    assert.equal(await deadlineSeen(t, { trustedProxies, route }, asked(nonsense)), "2000");
  }
});

test("a retry is told what is left, and an exchange that a proxy no longer waits for is ended", async (t) => {
  const at = await pair(t, { trustedProxies: ["127.0.0.1/32"], service: { retry: { ...retry, perTryMs: 500 } } });
  const client = await ask(t, at.proxy, requestText("/", { headers: { "x-envoy-expected-rq-timeout-ms": "1000" } }));
  await at.reached(1);
  at.proxy.pass(500);
  await at.reached(2);
  assert.equal(at.asked[1]?.message.get("x-envoy-expected-rq-timeout-ms"), "500");
  at.proxy.pass(600);
  const response = await client.response();
  assert.deepEqual([response.status, (JSON.parse(response.text) as { code: string }).code], [504, "HG_TIMEOUT"]);
});

test("a sticky cookie leads back to its instance, and to another one with a new cookie when that is gone", async (t) => {
  const upstreams = [await scriptedUpstream(t, answerAll), await scriptedUpstream(t, answerAll)];
  const balance = { policy: "sticky", cookie: "hg", path: "/", secure: false } as const;
  const instances = upstreams.map(({ address }) => address);
  const proxy = await startProxy(t, { instances, service: { balance } });
  const first = await request(t, proxy.port, "/");
  const cookie = /^(hg=[^;]+); Path=\/; HttpOnly; SameSite=Lax$/.exec(first.get("set-cookie") ?? "")?.[1] ?? "";
  const home = upstreams.findIndex((upstream) => upstream.requests().length === 1);
  for (let i = 0; i < 5; i++) {
    const again = await request(t, proxy.port, "/", { headers: { cookie: `a=b; ${cookie}` } });
    assert.equal(again.get("set-cookie"), undefined);
  }
  assert.equal(upstreams[home]?.requests().length, 6);
  proxy.breaker(upstreams[home].address).force("open");
  const moved = await request(t, proxy.port, "/", { headers: { cookie } });
  assert.match(moved.get("set-cookie") ?? "", /^hg=/);
  assert.notEqual(moved.get("set-cookie")?.split(";")[0], cookie);
});

const keys: readonly [ServiceResource["balance"], (value: string) => [string, Readonly<Record<string, string>>]][] = [
  [{ policy: "hash", key: { from: "header", name: "x-user" } }, (value) => ["/", { "X-User": value }]],
  [{ policy: "hash", key: { from: "cookie", name: "user" } }, (value) => ["/", { cookie: `user=${value}` }]],
  [{ policy: "hash", key: { from: "query", name: "user" } }, (value) => [`/?user=${value}`, {}]],
  [{ policy: "hash", key: { from: "param", name: "user" } }, (value) => [`/of/${value}`, {}]],
];
for (const [balance, shape] of keys) {
  const from = balance.policy === "hash" ? balance.key.from : "";
  test(`requests with the same ${from} go to the same instance, and different ones to all`, async (t) => {
    const upstreams = [await scriptedUpstream(t, answerAll), await scriptedUpstream(t, answerAll)];
    const match = from === "param" ? [{ path: "/of/:user" }] : [{ path: "/*" }];
    const instances = upstreams.map(({ address }) => address);
    const proxy = await startProxy(t, { instances, service: { balance }, route: { match } });
    const homes = new Set<number>();
    for (let i = 0; i < 8; i++) {
      const before = upstreams.map((upstream) => upstream.requests().length);
      for (let round = 0; round < 3; round++) {
        const [target, headers] = shape(`user-${i}`);
        await request(t, proxy.port, target, { headers });
      }
      const grown = upstreams.map((upstream, at) => upstream.requests().length - (before[at] ?? 0));
      assert.deepEqual(grown.toSorted(), [0, 3]);
      homes.add(grown.indexOf(3));
    }
    assert.equal(homes.size, 2);
  });
}
