import assert from "node:assert/strict";
import { test } from "node:test";
import { catalogOf, change } from "../catalog/catalog.fixtures.ts";
import { Discovery } from "./discovery.ts";
import type { KnownInstance } from "./registry.ts";
import { discoveryKey } from "./source-key.ts";
import type { FoundInstance } from "./source.ts";

const known = (address: string, rest: Partial<KnownInstance> = {}): KnownInstance => ({
  ...{ service: "people", address, status: "UP", weight: 1, revision: 1, leased: true },
  ...rest,
});

/** A catalog of three services, two of which discover `people`; with what is announced there. */
function open() {
  const announced: KnownInstance[] = [];
  const catalog = catalogOf();
  const discovery = new Discovery({
    catalog,
    find: (settings) => ("etcd" in settings && settings.etcd === "people" ? announced : []),
  });
  const written = { instances: [{ address: "w:1", weight: 5 }], discover: { etcd: "people" } };
  const first = change(catalog, {
    "services/users": written,
    "services/staff": { discover: { etcd: "people" } },
    "services/fixed": { instances: [{ address: "f:1" }] },
  });
  discovery.adopt(discovery.expand(first, new Set()));
  const addresses = (name: string): string[] =>
    (discovery.services[name]?.instances ?? []).map(({ address, weight }) => `${address} ${weight}`);
  /** What workers are told when the registry changed. */
  const renew = (...names: string[]): string[] => {
    const told = discovery.expand(catalog.plan(), new Set(names));
    discovery.adopt(told);
    return Object.keys(told?.services?.set ?? {}).sort();
  };
  return { announced, catalog, discovery, addresses, renew };
}

test("what is announced stands beside what is written, in every service that discovers it", () => {
  const { announced, addresses, renew } = open();
  assert.deepEqual(addresses("users"), ["w:1 5"]);
  announced.push(known("a:1", { weight: 3 }));
  assert.deepEqual(renew("people"), ["staff", "users"]);
  assert.deepEqual(
    [addresses("users"), addresses("staff"), addresses("fixed")],
    [["w:1 5", "a:1 3"], ["a:1 3"], ["f:1 1"]],
  );
});

test("workers are told nothing where nothing differs for them", () => {
  const { announced, renew } = open();
  announced.push(known("a:1"));
  renew("people");
  announced[0] = known("a:1", { revision: 9, version: "2" });
  assert.deepEqual(renew("people"), []);
  assert.deepEqual(renew("nobody"), []);
});

test("what is written goes before what is announced, but for one that is down or drains", () => {
  const { announced, addresses, renew } = open();
  announced.push(known("w:1", { weight: 2 }));
  assert.deepEqual(renew("people"), ["staff"]);
  assert.deepEqual(addresses("users"), ["w:1 5"]);
  for (const status of ["DOWN", "DRAINING"] as const) {
    announced[0] = known("w:1", { status });
    renew("people");
    assert.deepEqual([addresses("users"), addresses("staff")], [[], []], status);
  }
});

test("a service that changes in the same turn is told with the instances there are, and one that goes is gone", () => {
  const { announced, catalog, discovery, addresses } = open();
  announced.push(known("a:1"));
  const plan = change(catalog, { "services/staff": { discover: { etcd: "nobody" } }, "services/users": undefined });
  discovery.adopt(discovery.expand(plan, new Set(["people"])));
  assert.deepEqual(addresses("staff"), []);
  assert.deepEqual(Object.keys(discovery.services).sort(), ["fixed", "staff"]);
});

/** A service that finds its instances at sources; `says` is what each DNS name says. */
function openSources() {
  const says = new Map<string, readonly FoundInstance[]>();
  const used: string[] = [];
  const catalog = catalogOf();
  const discovery: Discovery = new Discovery({
    catalog,
    find: (settings) => ("dns" in settings ? says.get(settings.dns.name) : [known("etcd:1")]),
    onUse: (service, sources) => void used.push(`${service}: ${sources.map(discoveryKey).map(nameOf).join()}`),
  });
  const write = (service: object | undefined): string[] => {
    discovery.adopt(discovery.expand(change(catalog, { "services/users": service }), new Set()));
    return addresses();
  };
  const say = (name: string, ...found: string[]): string[] => {
    says.set(
      name,
      found.map((address) => known(address)),
    );
    discovery.adopt(discovery.expand(catalog.plan(), new Set([JSON.stringify({ dns: { name, port: 80 } })])));
    return addresses();
  };
  const addresses = (): string[] => (discovery.services["users"]?.instances ?? []).map(({ address }) => address);
  return { discovery, write, say, used };
}

const nameOf = (key: string): string => (JSON.parse(key) as { dns: { name: string } }).dns.name;

test("a service has the instances of its source, and uses it as long as it is there", () => {
  const { write, say, used } = openSources();
  assert.deepEqual(write({ discover: { dns: "a:80" } }), []);
  assert.deepEqual(say("a", "a:1"), ["a:1"]);
  assert.deepEqual(say("a", "a:1", "a:2"), ["a:1", "a:2"]);
  write(undefined);
  assert.deepEqual([used[0], used.at(-1)], ["users: a", "users: "]);
});

test("a new source takes over when it has said something; until then the old one is followed", () => {
  const { discovery, write, say, used } = openSources();
  write({ discover: { dns: "a:80" } });
  say("a", "a:1");
  used.length = 0;
  assert.deepEqual(write({ discover: { dns: "b:80" }, instances: [{ address: "w:1" }] }), ["w:1", "a:1"]);
  assert.deepEqual(used, ["users: b,a"]);
  assert.deepEqual(say("a", "a:2"), ["w:1", "a:2"]);
  // Another change meanwhile: the instances still are those of the last source that said something.
  assert.deepEqual(write({ discover: { dns: "c:80" } }), ["a:2"]);
  assert.deepEqual(discovery.sourceOf("users"), { dns: { name: "a", port: 80 } });
  assert.deepEqual(say("c", "a:2"), ["a:2"]);
  assert.deepEqual([used.at(-1), discovery.sourceOf("users")], ["users: c", { dns: { name: "c", port: 80 } }]);
  assert.deepEqual(say("a", "a:3"), ["a:2"]);
});

test("a service whose instances are found from now on keeps those that were written until then", () => {
  const { write, say } = openSources();
  write({ instances: [{ address: "w:1" }] });
  assert.deepEqual(write({ discover: { dns: "a:80" } }), ["w:1"]);
  assert.deepEqual(say("a", "a:1"), ["a:1"]);
  assert.deepEqual(write({ discover: { etcd: "people" } }), ["etcd:1"]);
  assert.deepEqual(write({ discover: { dns: "b:80" } }), ["etcd:1"]);
  assert.deepEqual(say("b"), []);
});
