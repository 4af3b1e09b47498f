import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { NacosSettings } from "@headgate/schema";
import { nacosHost, nacosServer, type NacosHost } from "../../../../../../tests/kit/nacos.ts";
import { Followed } from "../source.fixtures.ts";
import { sourceSuite } from "../source.suite.ts";
import { nacosSource } from "./nacos.ts";

const defaults = { service: "users", namespace: "public", group: "DEFAULT_GROUP", clusters: [] };

sourceSuite("nacos", async (t) => {
  const server = await nacosServer(t);
  return {
    open: (parts) => nacosSource({ ...defaults, url: `${server.url}/nacos` }, parts),
    set: (addresses) => void (server.hosts = addresses.map((address) => nacosHost(address))),
    fail: (failure) => void (server.failure = failure),
    requests: () => server.requests.length,
  };
});

async function open(t: TestContext, hosts: readonly NacosHost[], settings: Partial<NacosSettings> = {}) {
  const server = await nacosServer(t);
  server.hosts = hosts;
  const followed = new Followed(t, (parts) =>
    nacosSource({ ...defaults, url: `${server.url}/nacos`, ...settings }, parts),
  );
  return { server, followed };
}

const a = nacosHost("10.0.0.1:80");

test("what is asked for is what the settings say", async (t) => {
  const settings = { service: "a b", namespace: "n1", group: "g1", clusters: ["c1", "c2"] };
  const { server, followed } = await open(t, [a], settings);
  followed.follower.start();
  await followed.untilShown("10.0.0.1:80");
  assert.equal(server.requests[0]?.path, "/nacos/v1/ns/instance/list");
  assert.deepEqual(Object.fromEntries(server.requests[0].query), {
    ...{ serviceName: "a b", groupName: "g1", namespaceId: "n1", clusters: "c1,c2", healthyOnly: "false" },
  });
});

test("one that is not healthy is down, one that is switched off or has no weight drains", async (t) => {
  const { followed } = await open(t, [
    nacosHost("10.0.0.1:80", { weight: 2, metadata: { zone: "z1", version: "1.2" } }),
    nacosHost("10.0.0.2:80", { healthy: false }),
    nacosHost("10.0.0.3:80", { enabled: false }),
    nacosHost("10.0.0.4:80", { weight: 0 }),
  ]);
  followed.follower.start();
  await followed.untilShown(
    ...["10.0.0.1:80 *2 @z1", "10.0.0.2:80 DOWN", "10.0.0.3:80 DRAINING", "10.0.0.4:80 DRAINING *0"],
  );
  assert.equal(followed.follower.instances?.[0]?.version, "1.2");
});

test("weights with fractions keep their proportion", async (t) => {
  const { followed } = await open(t, [
    nacosHost("10.0.0.1:80", { weight: 0.5 }),
    nacosHost("10.0.0.2:80", { weight: 0.001 }),
  ]);
  followed.follower.start();
  await followed.untilShown("10.0.0.1:80 *50", "10.0.0.2:80");
});

test("below the protection threshold all are used, healthy or not, and it is told of", async (t) => {
  const { server, followed } = await open(t, [a, nacosHost("10.0.0.2:80", { healthy: false })]);
  server.reachProtectionThreshold = true;
  followed.follower.start();
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
  assert.match(followed.follower.problem ?? "", /^too few instances are healthy/);
  server.reachProtectionThreshold = false;
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80 DOWN");
  assert.equal(followed.follower.problem, undefined);
});

for (const [cacheMillis, fromMs, toMs] of [
  [20_000, 18_000, 22_000],
  [0, 900, 1_100],
  [9e9, 54_000, 66_000],
] as const) {
  test(`an answer that may be kept for ${cacheMillis} ms is asked for again after ${fromMs} to ${toMs} ms`, async (t) => {
    const { server, followed } = await open(t, [a]);
    server.cacheMillis = cacheMillis;
    followed.follower.start();
    await followed.untilShown("10.0.0.1:80");
    const startMs = followed.clock.now();
    await followed.until(() => server.requests.length === 2, "the next question", 50);
    const waitedMs = followed.clock.now() - startMs;
    assert.ok(waitedMs >= fromMs && waitedMs <= toMs + 100, `it was after ${waitedMs} ms`);
  });
}

const user = { name: "gateway", password: "hush" };

test("a user logs in once, and again before the token ends", async (t) => {
  const { server, followed } = await open(t, [a], { username: user.name, password: user.password });
  server.user = user;
  server.tokenSeconds = 100;
  followed.follower.start();
  await followed.untilShown("10.0.0.1:80");
  await followed.pass(80_000);
  assert.equal(server.logins, 1);
  await followed.pass(15_000);
  assert.equal(server.logins, 2);
  assert.equal(followed.follower.problem, undefined);
  assert.equal(server.requests[0]?.body, "username=gateway&password=hush");
  assert.equal(server.requests[1]?.query.get("accessToken"), "token-1");
});

test("a token that is refused before its time is replaced at once", async (t) => {
  const { server, followed } = await open(t, [a], { username: user.name, password: user.password });
  server.user = user;
  followed.follower.start();
  await followed.untilShown("10.0.0.1:80");
  server.tokens.clear();
  server.hosts = [a, nacosHost("10.0.0.2:80")];
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
  assert.equal(server.logins, 2);
  assert.equal(followed.follower.failing, false);
});

test("a wrong password is told with the server's word for it, and tried ever more seldom", async (t) => {
  const { server, followed } = await open(t, [a], { username: user.name, password: "wrong" });
  server.user = user;
  followed.follower.start();
  await followed.untilProblem(/\/nacos\/v1\/auth\/login: answered 403 \(unknown user!\)$/);
  await followed.pass(300_000);
  assert.ok(server.requests.length < 25, `${server.requests.length} requests`);
  assert.doesNotMatch(followed.follower.problem ?? "", /wrong/);
});

test("a user that may not read is not logged in again and again", async (t) => {
  const { server, followed } = await open(t, [a]);
  server.user = user;
  followed.follower.start();
  await followed.untilProblem(/instance\/list: answered 403 \(token invalid!\)$/);
});
