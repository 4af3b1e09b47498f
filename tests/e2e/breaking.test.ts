import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { ServiceResource } from "../../packages/schema/src/index.ts";
import { request, RawClient, requestText } from "../kit/client.ts";
import { startProxy, type ProxyInit, type ProxyUnderTest } from "../kit/proxy.ts";
import { scriptedUpstream, type ScriptedUpstream, type UpstreamConnection } from "../kit/upstream.ts";
import { waitFor } from "../kit/wait.ts";

/** What an instance does with a request: a head and body, or something worse. */
type Answer = (connection: UpstreamConnection) => void;

const ok: Answer = (connection) => connection.ok();
const failing: Answer = (connection) => connection.send("HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n");
const missing: Answer = (connection) => connection.send("HTTP/1.1 404 Where\r\ncontent-length: 0\r\n\r\n");
const cut: Answer = (connection) => {
  connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  connection.end();
};
const silent: Answer = () => {};

interface Instance {
  readonly upstream: ScriptedUpstream;
  answer: Answer;
}

async function instances(t: TestContext, count: number): Promise<Instance[]> {
  const made: Instance[] = [];
  for (let i = 0; i < count; i++) {
    const instance: { upstream?: ScriptedUpstream; answer: Answer } = { answer: ok };
    instance.upstream = await scriptedUpstream(t, async (connection) => {
      for (;;) {
        await connection.request();
        instance.answer(connection);
      }
    });
    made.push(instance as Instance); // its upstream is there now
  }
  return made;
}

function start(t: TestContext, all: readonly Instance[], init: Omit<ProxyInit, "instances">): Promise<ProxyUnderTest> {
  return startProxy(t, { instances: all.map(({ upstream }) => upstream.address), ...init });
}

const circuitBreaker: ServiceResource["circuitBreaker"] = {
  failureRatio: 0.5,
  windowMs: 10_000,
  minRequests: 1_000,
  consecutive: 3,
  openMs: 5_000,
  openMaxMs: 20_000,
  slowRatio: 0.8,
  halfOpenRequests: 1,
};
const outlierDetection: ServiceResource["outlierDetection"] = {
  maxEjectedRatio: 0.5,
  baseMs: 30_000,
  maxMs: 300_000,
  consecutive: 3,
  intervalMs: 10_000,
};

/** Asks once; the status, or what became of the connection. */
async function ask(t: TestContext, proxy: ProxyUnderTest): Promise<number | string> {
  try {
    return (await request(t, proxy.port, "/")).status;
  } catch {
    return "cut";
  }
}

async function askOften(t: TestContext, proxy: ProxyUnderTest, times: number): Promise<(number | string)[]> {
  const answers: (number | string)[] = [];
  for (let i = 0; i < times; i++) answers.push(await ask(t, proxy));
  return answers;
}

test("an open breaker answers by itself until its time is over, then one trial decides", async (t) => {
  const [only] = (await instances(t, 1)) as [Instance];
  const proxy = await start(t, [only], { service: { circuitBreaker } });
  only.answer = failing;
  assert.deepEqual(await askOften(t, proxy, 3), [500, 500, 500]);
  const refused = await request(t, proxy.port, "/");
  assert.equal(refused.status, 503);
  assert.equal((JSON.parse(refused.text) as { code: string }).code, "HG_CIRCUIT_OPEN");
  assert.equal(refused.get("retry-after"), "5");
  assert.equal(proxy.finished.at(-1)?.attempts, 0);
  assert.equal(only.upstream.requests().length, 3);

  proxy.pass(5_000);
  assert.deepEqual(await askOften(t, proxy, 2), [500, 503]);
  proxy.pass(5_000);
  assert.equal(await ask(t, proxy), 503);
  proxy.pass(5_000);
  only.answer = ok;
  assert.deepEqual(await askOften(t, proxy, 3), [200, 200, 200]);
  assert.deepEqual(
    proxy.events.map(({ kind, instance, from, to }) => [kind, instance === only.upstream.address, from, to]),
    [
      ["breaker", true, "closed", "open"],
      ["breaker", true, "open", "half-open"],
      ["breaker", true, "half-open", "open"],
      ["breaker", true, "open", "half-open"],
      ["breaker", true, "half-open", "closed"],
    ],
  );
});

test("the breaker of a service opens by the share of failures of all its instances", async (t) => {
  const all = await instances(t, 3);
  const proxy = await start(t, all, {
    service: { circuitBreaker: { ...circuitBreaker, consecutive: 0, minRequests: 6 } },
  });
  for (const instance of all) instance.answer = failing;
  assert.deepEqual(await askOften(t, proxy, 8), [500, 500, 500, 500, 500, 500, 503, 503]);
  assert.deepEqual(
    proxy.events.map(({ kind, instance, to }) => [kind, instance, to]),
    [["breaker", undefined, "open"]],
  );
});

test("the fallback of a route answers while the breaker is open", async (t) => {
  const [only] = (await instances(t, 1)) as [Instance];
  const fallback = { respond: { status: 203, headers: {}, body: "back soon" } };
  const proxy = await start(t, [only], { service: { circuitBreaker }, route: { fallback } });
  only.answer = failing;
  assert.deepEqual(await askOften(t, proxy, 5), [500, 500, 500, 203, 203]);
});

const failures: readonly [string, Answer, number | string][] = [
  ["answers 500", failing, 500],
  ["sends less than it announces", cut, "cut"],
  ["resets", (connection) => connection.reset(), 502],
  ["talks nonsense", (connection) => connection.send("SSH-2.0-OpenSSH\r\n\r\n"), 502],
];
for (const [what, answer, seen] of failures) {
  test(`an instance that ${what} is left out, and tried with one request when its time is over`, async (t) => {
    const all = await instances(t, 4);
    const [bad] = all as [Instance];
    const proxy = await start(t, all, { service: { outlierDetection } });
    bad.answer = answer;
    const answers = await askOften(t, proxy, 40);
    assert.equal(answers.filter((status) => status === seen).length, 3);
    assert.equal(bad.upstream.requests().length, 3);
    proxy.pass(30_000);
    await askOften(t, proxy, 20);
    assert.equal(bad.upstream.requests().length, 4);
    bad.answer = ok;
    proxy.pass(60_000);
    assert.ok((await askOften(t, proxy, 20)).every((status) => status === 200));
    assert.equal(bad.upstream.requests().length, 4 + 5);
    assert.deepEqual(
      proxy.events.map(({ kind, to }) => [kind, to]),
      [
        ["ejection", "ejected"],
        ["ejection", "ejected"],
        ["ejection", "in"],
      ],
    );
  });
}

test("statuses below 500, and clients that go away, are held against nobody", async (t) => {
  const all = await instances(t, 1);
  const [only] = all as [Instance];
  const proxy = await start(t, all, { service: { circuitBreaker, outlierDetection } });
  only.answer = missing;
  assert.deepEqual(await askOften(t, proxy, 5), [404, 404, 404, 404, 404]);
  only.answer = silent;
  for (let i = 1; i <= 5; i++) {
    const client = await RawClient.connect(t, proxy.port);
    client.send(requestText("/"));
    await waitFor(() => only.upstream.requests().length === 5 + i);
    client.reset();
    await waitFor(() => proxy.finished.length === 5 + i);
  }
  only.answer = ok;
  assert.equal(await ask(t, proxy), 200);
  assert.deepEqual(proxy.events, []);
});

test("an exchange whose time runs out is a failure of the instance that had most of it", async (t) => {
  const [only] = (await instances(t, 1)) as [Instance];
  const proxy = await start(t, [only], { service: { circuitBreaker }, route: { timeoutMs: 1_000 } });
  only.answer = silent;
  for (let i = 1; i <= 3; i++) {
    const answer = ask(t, proxy);
    await waitFor(() => only.upstream.requests().length === i);
    proxy.pass(1_200);
    assert.equal(await answer, 504);
  }
  assert.equal(await ask(t, proxy), 503);
  assert.equal(proxy.count("upstream_requests_total", { outcome: "timeout" }), 3);
});

test("a change of settings, of weights and of other instances forgets no breaker, ejection or connection", async (t) => {
  const all = await instances(t, 4);
  const [bad, added, ...good] = all as [Instance, Instance, ...Instance[]];
  const before = [bad, ...good];
  const service = { circuitBreaker, outlierDetection: { ...outlierDetection, consecutive: 2 } };
  const proxy = await start(t, before, { service });
  bad.answer = failing;
  await askOften(t, proxy, 20);
  assert.equal(bad.upstream.requests().length, 2);
  const opened = good.map(({ upstream }) => upstream.connections.length);

  await proxy.change({
    ...service,
    circuitBreaker: { ...circuitBreaker, openMs: 9_000 },
    instances: [...before, added].map(({ upstream }, i) => ({ address: upstream.address, weight: i + 1 })),
  });
  const answers = await askOften(t, proxy, 40);
  assert.ok(answers.every((status) => status === 200));
  assert.equal(bad.upstream.requests().length, 2);
  assert.ok(added.upstream.requests().length > 0);
  assert.deepEqual(
    good.map(({ upstream }) => upstream.connections.length),
    opened,
  );
  await proxy.change({ ...service, instances: [{ address: bad.upstream.address, weight: 1 }] });
  assert.equal((await request(t, proxy.port, "/")).status, 503);
});

test("an operator holds a breaker open and closed, also where none is configured", async (t) => {
  const all = await instances(t, 2);
  const [one, other] = all as [Instance, Instance];
  const proxy = await start(t, all, {});
  proxy.breaker(one.upstream.address).force("open");
  assert.deepEqual(await askOften(t, proxy, 6), [200, 200, 200, 200, 200, 200]);
  assert.equal(one.upstream.requests().length, 0);
  proxy.breaker(other.upstream.address).force("open");
  const refused = await request(t, proxy.port, "/");
  assert.deepEqual([refused.status, refused.get("retry-after")], [503, undefined]);
  proxy.breaker(other.upstream.address).force(undefined);
  assert.equal(await ask(t, proxy), 200);
  proxy.breaker(undefined).force("open");
  assert.equal(await ask(t, proxy), 503);
});
