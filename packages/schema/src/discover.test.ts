import assert from "node:assert/strict";
import { test } from "node:test";
import { validateDocument } from "./index.ts";
import { told, withService } from "./validate.fixtures.ts";

const read: [string, object, object][] = [
  ["a name and a port", { dns: "Users.Internal.:8080" }, { dns: { name: "users.internal", port: 8080 } }],
  ["SRV records", { dns: "_http._tcp.users.internal" }, { dns: { name: "_http._tcp.users.internal" } }],
  [
    "all of DNS",
    { dns: { name: "users", port: 1, servers: ["10.0.0.2", "[::1]:53"], interval: "1m" } },
    { dns: { name: "users", port: 1, servers: ["10.0.0.2", "[::1]:53"], intervalMs: 60_000 } },
  ],
];
for (const [what, discover, settings] of read) {
  test(`discovery by ${what} is read`, () => {
    const { value, problems } = validateDocument(withService({ instances: [], discover }));
    assert.deepEqual(problems, []);
    assert.deepEqual(value?.resources.services["s"]?.discover, settings);
  });
}

const mistakes: [string, object, string][] = [
  ["nowhere", {}, "services.s.discover: needs exactly one of etcd, dns, consul, nacos, kubernetes"],
  ["in two places", { etcd: "a", dns: "a:1" }, "services.s.discover: needs exactly one of"],
  ["in a place that there is not", { dsn: "a:1" }, 'services.s.discover.dsn: unknown key "dsn" (did you mean "dns"?)'],
  ["by a name without a port", { dns: "users.internal" }, "services.s.discover.dns: "],
  ["by an address", { dns: "10.0.0.1:80" }, 'services.s.discover.dns: "10.0.0.1:80" is an address'],
  ["by a port that is none", { dns: "users:0" }, "services.s.discover.dns: "],
  ["by a map without a port", { dns: { name: "users" } }, "services.s.discover.dns: addresses alone do not say a port"],
  [
    "by SRV records with a port",
    { dns: { name: "_http._tcp.users", port: 1 } },
    "services.s.discover.dns.port: SRV records say which port",
  ],
  ["by a server that has a name", { dns: { name: "a", port: 1, servers: ["dns"] } }, "services.s.discover.dns.servers"],
];
for (const [what, discover, problem] of mistakes) {
  test(`discovery ${what} is refused`, () => {
    const problems = told(withService({ discover }));
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.ok(problems[0]?.startsWith(problem), problems[0]);
  });
}
