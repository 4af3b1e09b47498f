import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { ConsulSettings } from "@headgate/schema";
import { consulEntry, consulServer, type ConsulEntry } from "../../../../../../tests/kit/consul.ts";
import { Followed } from "../source.fixtures.ts";
import { sourceSuite } from "../source.suite.ts";
import { consulSource } from "./consul.ts";

sourceSuite("consul", async (t) => {
  const server = await consulServer(t);
  return {
    open: (parts) => consulSource({ service: "users", url: server.url, tags: [], passing: true }, parts),
    set: (addresses) => server.set(addresses.map((address) => consulEntry(address))),
    fail: (failure) => server.fail(failure),
    requests: () => server.requests.length,
  };
});

async function open(t: TestContext, entries: readonly ConsulEntry[], settings: Partial<ConsulSettings> = {}) {
  const server = await consulServer(t);
  server.entries = entries;
  const all = { service: "users", url: server.url, tags: [], passing: true, ...settings };
  const followed = new Followed(t, (parts) => consulSource(all, parts));
  followed.follower.start();
  return { server, followed };
}

const a = consulEntry("10.0.0.1:80");
const b = consulEntry("10.0.0.2:80");

test("what is asked for is what the settings say, and the token goes in its header", async (t) => {
  const settings = { service: "a/b", datacenter: "dc2", namespace: "ns1", tags: ["x", "y"], token: "hush" };
  const { server, followed } = await open(t, [a], settings);
  await followed.untilShown("10.0.0.1:80");
  await followed.until(() => server.waiting === 1, "a blocking query");
  const [first, second] = server.requests;
  assert.equal(first?.path, "/v1/health/service/a%2Fb");
  assert.equal(first.query.toString(), "passing=1&dc=dc2&ns=ns1&tag=x&tag=y");
  assert.equal(second?.query.toString(), "passing=1&dc=dc2&ns=ns1&tag=x&tag=y&index=10&wait=300s");
  assert.equal(first.headers["x-consul-token"], "hush");
  assert.equal(followed.follower.source.place, `a/b #x #y dc2 at ${server.url}`);
});

test("an instance has the address of its service, or that of its node; weights, zone and version", async (t) => {
  const { followed } = await open(t, [
    consulEntry("10.0.0.1:80", { service: { Weights: { Passing: 5, Warning: 1 }, Locality: { Zone: "z1" } } }),
    consulEntry("10.0.0.2:80", { service: { Address: "", Meta: { zone: "z2", version: "1.2" } } }),
    consulEntry("10.0.0.3:80", { service: { Address: "fd00::3" }, node: { Locality: { Zone: "z3" } } }),
  ]);
  await followed.untilShown("10.0.0.1:80 *5 @z1", "10.9.9.9:80 @z2", "[fd00::3]:80 @z3");
  assert.equal(followed.follower.instances?.[1]?.version, "1.2");
});

test("with instances that do not pass: a warning has its own weight, a critical one is down", async (t) => {
  const service = { Weights: { Passing: 5, Warning: 2 } };
  const { server, followed } = await open(
    t,
    [
      consulEntry("10.0.0.1:80", { service, checks: ["passing", "warning"] }),
      consulEntry("10.0.0.2:80", { service, checks: ["warning", "critical"] }),
      consulEntry("10.0.0.3:80", { service }),
    ],
    { passing: false },
  );
  await followed.untilShown("10.0.0.1:80 *2", "10.0.0.2:80 DOWN *2", "10.0.0.3:80 *5");
  assert.equal(server.requests[0]?.query.has("passing"), false);
});

test("an entry that can be no instance is passed over, and told of", async (t) => {
  const { followed } = await open(t, [a, consulEntry("10.0.0.2:0")]);
  await followed.untilShown("10.0.0.1:80");
  assert.equal(followed.follower.problem, "1 of its instances have no usable address and port");
});

test("an index that goes back begins anew: nothing up to the old one is missed", async (t) => {
  const { server, followed } = await open(t, [a]);
  await followed.until(() => server.waiting === 1, "a blocking query");
  server.set([a], 3);
  await followed.until(() => server.requests.length >= 3, "another question");
  assert.equal(server.requests[2]?.query.has("index"), false);
  server.set([a, b], 4);
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
});

test("an index of 0 does not make it ask without pause", async (t) => {
  const { server, followed } = await open(t, [a]);
  await followed.until(() => server.waiting === 1, "a blocking query");
  server.set([a], 0);
  await followed.pass(60_000);
  assert.deepEqual(
    server.requests.map(({ query }) => query.get("index")),
    [null, "10", null, "1"],
  );
  server.set([b], 1);
  server.set([b], 2);
  await followed.untilShown("10.0.0.2:80");
});

test("a server that never holds a question back is asked once a second", async (t) => {
  const { server, followed } = await open(t, [a]);
  server.blocking = false;
  await followed.pass(60_000);
  assert.ok(server.requests.length > 50 && server.requests.length < 70, `${server.requests.length} requests`);
});

test("changes that follow one another are seen at once, not a second later", async (t) => {
  const { server, followed } = await open(t, [a]);
  for (const entries of [[a, b], [b], [a, b]]) {
    await followed.until(() => server.waiting === 1, "a blocking query");
    server.set(entries);
  }
  await followed.until(() => server.waiting === 1, "a blocking query");
  assert.equal(followed.told.length, 4);
  assert.ok(followed.clock.now() < 2_000);
});

test("an index that rises though nothing differs is told to nobody", async (t) => {
  const { server, followed } = await open(t, [a]);
  for (let round = 0; round < 5; round++) {
    await followed.until(() => server.waiting === 1, "a blocking query");
    server.set([a]);
  }
  assert.equal(followed.told.length, 1);
});

test("a question that is held back for five minutes is no failure, one for longer is", async (t) => {
  const { server, followed } = await open(t, [a]);
  await followed.until(() => server.waiting === 1, "a blocking query");
  await followed.pass(318_000);
  server.release();
  await followed.until(() => server.requests.length === 3, "the next question");
  assert.equal(followed.follower.failing, false);
  await followed.untilProblem(/did not answer within 321 s/);
});

test("an answer that comes byte by byte is an answer", async (t) => {
  const { server, followed } = await open(t, [a]);
  await followed.until(() => server.waiting === 1, "a blocking query");
  server.fail("slow");
  server.set([a, b]);
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
  assert.equal(followed.follower.problem, undefined);
});

test("a failure is told with the server's reason, without the query", async (t) => {
  const { server, followed } = await open(t, [a], { tags: ["secret"] });
  await followed.until(() => server.waiting === 1, "a blocking query");
  server.fail("error");
  await followed.untilProblem(/\/v1\/health\/service\/users: answered 500 \(rpc error: no leader\)$/);
});

test("JSON that is no list of instances is a failure", async (t) => {
  const { server, followed } = await open(t, [a]);
  await followed.until(() => server.waiting === 1, "a blocking query");
  server.set([{ Node: {}, Service: { Port: "80" }, Checks: [] }]);
  await followed.untilProblem(/answered with something else than instances$/);
  assert.deepEqual(followed.shown(), ["10.0.0.1:80"]);
});

test("nothing stays open behind its end", async (t) => {
  const { server, followed } = await open(t, [a]);
  await followed.until(() => server.waiting === 1, "a blocking query");
  followed.follower.stop();
  let connections = 1;
  await followed.until(() => {
    void server.connections().then((count) => (connections = count));
    return connections === 0;
  }, "the connection to end");
});
