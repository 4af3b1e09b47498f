import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { DnsSettings } from "@headgate/schema";
import { dnsServer, type DnsRecord, type DnsReply } from "../../../../../../tests/kit/dns-server.ts";
import { Followed, turns } from "../source.fixtures.ts";
import { sourceSuite, type Failure } from "../source.suite.ts";
import { dnsSource } from "./dns.ts";

const a = (address: string, ttl = 1): DnsRecord => ({ type: "A", address, ttl });
const aaaa = (address: string, ttl = 1): DnsRecord => ({ type: "AAAA", address, ttl });
const srv = (target: string, rest: Partial<DnsRecord & { type: "SRV" }> = {}): DnsRecord => ({
  ...{ type: "SRV", priority: 1, weight: 1, port: 80, target, ttl: 1 },
  ...rest,
});

const replies = { error: "SERVFAIL", garbage: "garbage", half: "half", silence: "silence", cut: "REFUSED" } as const;

sourceSuite("dns", async (t) => {
  const server = await dnsServer(t);
  return {
    open: (parts) => dnsSource({ name: "users.internal", port: 80, servers: [server.address] }, parts),
    set: (addresses) => {
      server.zone.set("AAAA users.internal", "nothing");
      server.zone.set(
        "A users.internal",
        addresses.length === 0 ? "nothing" : addresses.map((one) => a(one.slice(0, -3))),
      );
    },
    fail: (failure: Failure | undefined) => void (server.all = failure === undefined ? undefined : replies[failure]),
    requests: () => server.queries.length,
    emptyKeptMs: 300_000,
  };
});

async function open(
  t: TestContext,
  zone: Readonly<Record<string, DnsReply>>,
  settings: DnsSettings = { name: "users.internal", port: 80 },
) {
  const server = await dnsServer(t);
  for (const [question, reply] of Object.entries(zone)) server.zone.set(question, reply);
  const followed = new Followed(t, (parts) => dnsSource({ ...settings, servers: [server.address] }, parts));
  followed.follower.start();
  return { server, followed };
}

const name = "_http._tcp.users.internal";

function openSrv(t: TestContext, zone: Readonly<Record<string, DnsReply>>) {
  return open(t, zone, { name });
}

test("addresses of both families are instances, each at the port", async (t) => {
  const { followed } = await open(t, { "A users.internal": [a("10.0.0.1")], "AAAA users.internal": [aaaa("fd00::1")] });
  await followed.untilShown("10.0.0.1:80", "[fd00::1]:80");
});

test("a family that is not answered keeps its last addresses; the other one is followed", async (t) => {
  const { server, followed } = await open(t, {
    "A users.internal": [a("10.0.0.1")],
    "AAAA users.internal": [aaaa("fd00::1")],
  });
  await followed.untilShown("10.0.0.1:80", "[fd00::1]:80");
  server.zone.set("AAAA users.internal", "SERVFAIL");
  server.zone.set("A users.internal", [a("10.0.0.2")]);
  await followed.untilShown("10.0.0.2:80", "[fd00::1]:80");
  assert.equal(followed.follower.problem, "users.internal: the query for AAAA records failed (ESERVFAIL)");
  assert.equal(followed.follower.failing, false);
});

test("a server that fails for one family and has nothing in the other has not answered", async (t) => {
  const { followed } = await open(t, { "A users.internal": "nothing", "AAAA users.internal": "SERVFAIL" });
  await followed.untilProblem(/AAAA records failed/);
  assert.equal(followed.follower.answered, false);
});

test("a name that does not exist is told of", async (t) => {
  const { followed } = await open(t, {});
  await followed.untilShown();
  assert.equal(followed.follower.problem, "users.internal has no address");
});

for (const [what, ttl, settings, fromMs, toMs] of [
  ["an answer is asked for again when its time to live is over, and not before", 120, {}, 120_000, 132_000],
  ["a time to live of nothing is a second", 0, {}, 1_000, 1_100],
  ["an interval that is set goes before the time to live", 120, { intervalMs: 5_000 }, 4_500, 5_500],
] as const) {
  test(what, async (t) => {
    const { server, followed } = await open(
      t,
      { "A users.internal": [a("10.0.0.1", ttl)], "AAAA users.internal": "nothing" },
      { name: "users.internal", port: 80, ...settings },
    );
    await followed.untilShown("10.0.0.1:80");
    const startMs = followed.clock.now();
    await followed.until(() => server.queries.length > 2, "the second look", 50);
    const waitedMs = followed.clock.now() - startMs;
    assert.ok(waitedMs >= fromMs && waitedMs <= toMs + 100, `it was after ${waitedMs} ms`);
  });
}

test("an answer that is cut over UDP is asked for over TCP", async (t) => {
  const { server, followed } = await open(t, { "AAAA users.internal": "nothing" });
  const addresses = Array.from({ length: 100 }, (_, i) => `10.0.1.${i}`);
  server.truncating = true;
  server.zone.set(
    "A users.internal",
    addresses.map((address) => a(address)),
  );
  await followed.until(() => followed.shown().length === 100, "all of them");
  assert.ok(server.queries.includes("tcp A users.internal"));
});

test("a look that is under way ends with its source", async (t) => {
  const { server, followed } = await open(t, { "A users.internal": "silence", "AAAA users.internal": "silence" });
  await followed.until(() => server.queries.length === 2, "the queries");
  followed.follower.stop();
  await turns();
  assert.equal(followed.clock.pending, 0);
});

test("SRV records: the targets of the lowest priority, with their ports and weights", async (t) => {
  const { followed } = await openSrv(t, {
    [`SRV ${name}`]: [
      srv("B.internal", { priority: 2 }),
      srv("a.internal", { port: 8080, weight: 3 }),
      srv("c.internal", { port: 8081, weight: 1 }),
    ],
    "A a.internal": [a("10.0.0.1")],
    "A b.internal": [a("10.0.0.2")],
    "A c.internal": [a("10.0.0.3")],
  });
  await followed.untilShown("10.0.0.1:8080 *3", "10.0.0.3:8081");
  assert.equal(followed.follower.problem, undefined);
});

test("SRV records: the next priority is used while no target of a lower one has an address", async (t) => {
  const { server, followed } = await openSrv(t, {
    [`SRV ${name}`]: [srv("a.internal"), srv("b.internal", { priority: 2 })],
    "A b.internal": [a("10.0.0.2")],
  });
  await followed.untilShown("10.0.0.2:80");
  assert.equal(followed.follower.problem, "a.internal: no address");
  server.zone.set("A a.internal", [a("10.0.0.1")]);
  await followed.untilShown("10.0.0.1:80");
});

test("SRV records: a target whose address cannot be asked for is not passed over", async (t) => {
  const { followed } = await openSrv(t, {
    [`SRV ${name}`]: [srv("a.internal"), srv("b.internal")],
    "A a.internal": [a("10.0.0.1")],
    "A b.internal": "SERVFAIL",
  });
  await followed.untilProblem(/^b\.internal: the query for A records failed \(ESERVFAIL\)$/);
  assert.equal(followed.follower.answered, false);
});

test("SRV records: a target without an address is passed over, and told of", async (t) => {
  const { followed } = await openSrv(t, {
    [`SRV ${name}`]: [srv("a.internal"), srv("b.internal")],
    "A a.internal": [a("10.0.0.1")],
  });
  await followed.untilShown("10.0.0.1:80");
  assert.equal(followed.follower.problem, "b.internal: no address");
});

test("SRV records: a target's weight is shared by its addresses; a weight of 0 beside others is a hundredth", async (t) => {
  const { followed } = await openSrv(t, {
    [`SRV ${name}`]: [
      srv("a.internal", { weight: 10 }),
      srv("b.internal", { weight: 5 }),
      srv("c.internal", { weight: 0 }),
    ],
    "A a.internal": [a("10.0.0.1"), a("10.0.0.2"), a("10.0.0.3")],
    "A b.internal": [a("10.0.0.4")],
    "A c.internal": [a("10.0.0.5")],
  });
  await followed.untilShown(
    ...["10.0.0.1:80 *333", "10.0.0.2:80 *333", "10.0.0.3:80 *333", "10.0.0.4:80 *500", "10.0.0.5:80 *5"],
  );
});

test("SRV records: weights that are all 0 are equal", async (t) => {
  const { followed } = await openSrv(t, {
    [`SRV ${name}`]: [srv("a.internal", { weight: 0 }), srv("b.internal", { weight: 0 })],
    "A a.internal": [a("10.0.0.1")],
    "A b.internal": [a("10.0.0.2")],
  });
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
});

test("SRV records: a single target that is the root says that there is none", async (t) => {
  const { followed } = await openSrv(t, { [`SRV ${name}`]: [srv(".")] });
  await followed.untilShown();
  assert.equal(followed.follower.problem, "_http._tcp.users.internal has no SRV records");
});
