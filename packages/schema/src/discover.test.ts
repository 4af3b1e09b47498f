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
  [
    "the name of a service of Consul",
    { consul: "users" },
    { consul: { service: "users", url: "http://127.0.0.1:8500", tags: [], passing: true } },
  ],
  [
    "all of Consul",
    {
      consul: {
        ...{ service: "users", url: "https://c:8501/", tag: "v1", passing: false },
        ...{ token: "t", ca: "pem" },
      },
    },
    {
      consul: {
        ...{ service: "users", url: "https://c:8501", tags: ["v1"], passing: false },
        ...{ token: "t", ca: "pem" },
      },
    },
  ],
  [
    "the name of a service of Nacos",
    { nacos: "users" },
    {
      nacos: {
        ...{ service: "users", url: "http://127.0.0.1:8848/nacos", namespace: "public", group: "DEFAULT_GROUP" },
        clusters: [],
      },
    },
  ],
  [
    "a URL of Nacos without a path",
    { nacos: { service: "a", url: "http://n:8848", group: "g", clusters: ["c"], username: "u", password: "p" } },
    {
      nacos: {
        ...{ service: "a", url: "http://n:8848/nacos", namespace: "public", group: "g", clusters: ["c"] },
        ...{ username: "u", password: "p" },
      },
    },
  ],
  ["the name of a service of Kubernetes", { kubernetes: "users" }, { kubernetes: { service: "users" } }],
  [
    "a service of Kubernetes with all",
    { kubernetes: "shop/users:http" },
    { kubernetes: { service: "users", namespace: "shop", port: "http" } },
  ],
  ["a port number", { kubernetes: "users:8080" }, { kubernetes: { service: "users", port: 8080 } }],
  [
    "another cluster",
    { kubernetes: { service: "users", url: "https://k8s:6443/", token: "t", ca: "pem" } },
    { kubernetes: { service: "users", url: "https://k8s:6443", token: "t", ca: "pem" } },
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
  [
    "by a URL with a password",
    { consul: { service: "a", url: "http://u:s3cret@c" } },
    "services.s.discover.consul.url",
  ],
  ["by a URL with a query", { consul: { service: "a", url: "http://c/?token=x" } }, "services.s.discover.consul.url"],
  [
    "by a user without a password",
    { nacos: { service: "a", username: "u" } },
    'services.s.discover.nacos: "username" and "password" belong together',
  ],
  ["by a name that Kubernetes has not", { kubernetes: "Users" }, "services.s.discover.kubernetes: "],
  ["by a port that is too high", { kubernetes: "users:70000" }, "services.s.discover.kubernetes: "],
  [
    "by a token for no cluster",
    { kubernetes: { service: "a", token: "t" } },
    "services.s.discover.kubernetes.token: belongs to a url",
  ],
  ["by a server that has a name", { dns: { name: "a", port: 1, servers: ["dns"] } }, "services.s.discover.dns.servers"],
];
for (const [what, discover, problem] of mistakes) {
  test(`discovery ${what} is refused`, () => {
    const problems = told(withService({ discover }));
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.ok(problems[0]?.startsWith(problem), problems[0]);
    assert.doesNotMatch(problems.join(), /s3cret/);
  });
}
