import assert from "node:assert/strict";
import { test } from "node:test";
import { catalogOf, change } from "../catalog/catalog.fixtures.ts";
import { Discovery } from "./discovery.ts";
import type { KnownInstance } from "./registry.ts";

const known = (address: string, rest: Partial<KnownInstance> = {}): KnownInstance => ({
  ...{ service: "people", address, status: "UP", weight: 1, revision: 1, leased: true },
  ...rest,
});

/** A catalog of three services, two of which discover `people`; with what is announced there. */
function open() {
  const announced: KnownInstance[] = [];
  const catalog = catalogOf();
  const discovery = new Discovery(catalog, (name) => (name === "people" ? announced : []));
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
