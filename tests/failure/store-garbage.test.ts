import assert from "node:assert/strict";
import test from "node:test";
import { request } from "../kit/client.ts";
import { echoUpstream } from "../kit/echo.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd } from "../kit/etcd.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import { startLoad } from "../kit/load.ts";
import { newestFirst } from "../kit/scope.ts";
import {
  assertCaughtUp,
  respondRoute,
  startStoreGateway,
  steadyQuestions,
  steadyResources,
  storeStatus,
  untilStatus,
  type StoredRejection,
  type StoreStatus,
} from "../kit/store.ts";

interface Garbage {
  readonly key: string;
  readonly value: string;
  /** In the message. */
  readonly says: RegExp;
  /** The labels of headgate_config_rejected. */
  readonly labels: Readonly<Record<string, string>>;
}

const megabyte = 1024 * 1024;

const garbage: readonly Garbage[] = [
  ...["routes", "services", "middlewares", "consumers"].flatMap((kind): Garbage[] => [
    { key: `${kind}/not-json`, value: "{ not: json", says: /not JSON/, labels: { kind, name: "not-json" } },
    { key: `${kind}/empty`, value: "", says: /not JSON/, labels: { kind, name: "empty" } },
    { key: `${kind}/number`, value: "17", says: /./, labels: { kind, name: "number" } },
    { key: `${kind}/null`, value: "null", says: /./, labels: { kind, name: "null" } },
    { key: `${kind}/list`, value: "[]", says: /./, labels: { kind, name: "list" } },
    { key: `${kind}/unknown`, value: '{"nonsense":1}', says: /nonsense|unknown/, labels: { kind, name: "unknown" } },
  ]),
  {
    key: "routes/nowhere",
    value: JSON.stringify({ match: { path: "/nowhere" }, to: "nobody" }),
    says: /nobody/,
    labels: { kind: "routes", name: "nowhere" },
  },
  {
    key: "routes/no-step",
    value: JSON.stringify({ ...respondRoute("/no-step", "x"), use: ["no-such-step"] }),
    says: /no-such-step/,
    labels: { kind: "routes", name: "no-step" },
  },
  {
    key: "routes/large",
    value: JSON.stringify(respondRoute("/large", "x".repeat(megabyte))),
    says: /bytes/,
    labels: { kind: "routes", name: "large" },
  },
  {
    key: "routes/deep",
    value: `${"[".repeat(100_000)}${"]".repeat(100_000)}`,
    says: /./,
    labels: { kind: "routes", name: "deep" },
  },
  {
    key: "routes/__proto__",
    value: '{"match":{"path":"/proto"},"respond":{"status":99999}}',
    says: /./,
    labels: { kind: "unknown" },
  },
  {
    key: "routes/regex",
    value: JSON.stringify({
      ...respondRoute("/regex", "x"),
      match: { path: "/regex", headers: { a: { regex: "(" } } },
    }),
    says: /./,
    labels: { kind: "routes", name: "regex" },
  },
  { key: "plugins/broken", value: "export default (((", says: /./, labels: { kind: "plugins", name: "broken" } },
  {
    key: "plugins/ending",
    value: "process.exit(1);",
    says: /./,
    labels: { kind: "plugins", name: "ending" },
  },
  { key: "routes/dotted.name", value: "{}", says: /./, labels: { kind: "routes", name: "dotted.name" } },
  { key: "certificates/main", value: "{}", says: /TLS/, labels: { kind: "certificates", name: "main" } },
  {
    key: "settings/global",
    value: '["no-such-step"]',
    says: /no-such-step/,
    labels: { kind: "settings", name: "global" },
  },
  { key: "settings/other", value: "[]", says: /global/, labels: { kind: "unknown" } },
  { key: "route/users", value: "{}", says: /routes/, labels: { kind: "unknown" } },
  { key: "nonsense", value: "{}", says: /<kind>\/<name>/, labels: { kind: "unknown" } },
  { key: "routes/", value: "{}", says: /./, labels: { kind: "unknown" } },
  { key: "routes/a/b", value: "{}", says: /./, labels: { kind: "unknown" } },
  { key: "routes/ünïcödé", value: "{}", says: /./, labels: { kind: "unknown" } },
  { key: "routes/line\nbreak", value: "{}", says: /./, labels: { kind: "unknown" } },
];

const skip = etcdMissing;

test(
  "garbage under every kind of key is told everywhere, harms nothing else, and is forgotten when it is gone",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const etcd = await startEtcd(scope);
    const data = new EtcdData(etcd.endpoint);
    await data.write(steadyResources((await echoUpstream(scope)).address));
    const gateway = await startStoreGateway(scope, `127.0.0.1:${etcd.clientPort}`, { workers: 2 });
    const load = startLoad(scope, { port: gateway.port, questions: steadyQuestions });
    const bytes = Buffer.from([0xff, 0xfe, 0x00, 0x80]).toString("latin1");

    for (const [index, { key, value }] of garbage.entries()) {
      // Large values do not fit an argument list; and a process for each would take most of the test's time.
      if (index % 4 === 0 && value.length < 10_000) await etcd.ctl("put", "--", `/headgate/${key}`, value);
      else await data.write({ [`/headgate/${key}`]: value });
    }
    await etcd.ctl("put", "--", "/headgate/routes/binary", bytes.replaceAll("\0", "\x01"));
    const all = [
      ...garbage,
      { key: "routes/binary", value: "", says: /JSON|UTF-8/, labels: { kind: "routes", name: "binary" } },
    ];
    const missing = (now: StoreStatus): string[] =>
      all.filter(({ key }) => !now.problems.some((problem) => problem.key === printable(key))).map(({ key }) => key);
    let untold: readonly string[] = [];
    const isTold = (now: StoreStatus): boolean => (untold = missing(now)).length === 0;
    const status = await untilStatus(gateway, () => `all garbage to be told: ${untold.join(", ")}`, isTold);
    for (const { key, says, labels } of all) {
      const problem = status.problems.find((one) => one.key === printable(key));
      assert.match(problem?.message ?? "", says, key);
      assert.ok(Number(problem?.revision) > 1, key);
      assert.ok((await gateway.metric("headgate_config_rejected", labels)) > 0, key);
    }
    await assertToldOthers(gateway, etcd, all);
    assert.ok(gateway.logs.stderr.includes("/headgate/routes/not-json"));

    // What cannot be read is listed all the same.
    const listed = (await (await gateway.admin("/v1/routes")).json()) as Record<string, unknown>; // the admin API's contract
    assert.deepEqual([listed["not-json"], listed["list"]], [null, []]);
    assert.equal((await (await gateway.admin("/v1/routes/not-json")).text()).trim(), "null");

    // Something good goes live beside it, and gets past the same keys later.
    await data.write({ "/headgate/routes/good": respondRoute("/good", "good") });
    await untilStatus(gateway, "the good route", ({ revision }) => revision > status.revision);
    assert.equal((await request(t, gateway.port, "/good")).text, "good");
    await load.more(20);
    assert.deepEqual(load.failures, []);

    for (const [index, { key }] of all.entries()) {
      const [kind = ""] = key.split("/");
      const corrected = index % 2 === 0 && kind === "routes" && /^routes\/[a-z][\w.-]*$/.test(key);
      await data.write({ [`/headgate/${key}`]: corrected ? respondRoute(`/corrected/${index}`, key) : undefined });
    }
    const well = await untilStatus(gateway, "the problems to be gone", ({ problems }) => problems.length === 0);
    await assertCaughtUp(gateway, etcd);
    assert.equal(await gateway.metric("headgate_config_rejected"), 0);
    await untilStatus(gateway, "the others to be told so", ({ nodes }) => nodes[0]?.rejected.length === 0);
    assert.deepEqual((await nodeInEtcd(etcd, well.node)).rejected, []);
    assert.deepEqual(load.failures, []);
  },
);

/** The node's key in etcd names everything that is rejected, up to its limit. */
async function assertToldOthers(
  gateway: GatewayProcess,
  etcd: { ctl(...args: string[]): Promise<string> },
  all: readonly Garbage[],
): Promise<void> {
  const { node } = await untilStatus(
    gateway,
    "the node's key to be written",
    ({ nodes }) => (nodes[0]?.rejected.length ?? 0) >= all.length,
  );
  const { rejected } = await nodeInEtcd(etcd, node);
  for (const { key } of all)
    assert.ok(
      rejected.some((one) => one.key === printable(key)),
      `${key} in the node's key`,
    );
}

async function nodeInEtcd(
  etcd: { ctl(...args: string[]): Promise<string> },
  id: string,
): Promise<{ readonly rejected: readonly StoredRejection[] }> {
  const text = await etcd.ctl("get", "--print-value-only", `/headgate/nodes/${id}`);
  return JSON.parse(text) as { readonly rejected: readonly StoredRejection[] }; // as the gateway wrote it
}

/** Keys are shown with escapes where they are not plain text. */
function printable(key: string): string {
  return JSON.stringify(`/headgate/${key}`).slice(1, -1);
}

test(
  "a value that becomes invalid keeps its last good version live, also over restarts of the gateway",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const etcd = await startEtcd(scope);
    const data = new EtcdData(etcd.endpoint);
    const address = `127.0.0.1:${etcd.clientPort}`;
    await data.write({
      ...steadyResources((await echoUpstream(scope)).address),
      "/headgate/routes/a": respondRoute("/a", "good"),
      "/headgate/middlewares/named": { headers: { response: { set: { "x-named": "good" } } } },
      "/headgate/routes/b": { ...respondRoute("/b", "b"), use: ["named"] },
      "/headgate/settings/global": [{ headers: { response: { set: { "x-global": "good" } } } }],
    });
    let gateway = await startStoreGateway(scope, address);
    await data.write({
      "/headgate/routes/a": "garbage",
      "/headgate/middlewares/named": { headers: { response: { set: { "x-named": "\n" } } } },
      "/headgate/settings/global": "{}",
      "/headgate/services/echo": '{"instances":"none"}',
      // What a route uses stays as long as the route.
      "/headgate/middlewares/marked": undefined,
    });
    const keys = ["routes/a", "middlewares/named", "settings/global", "services/echo", "routes/marked"].map(
      (key) => `/headgate/${key}`,
    );
    const assertGood = async (how: string): Promise<void> => {
      const { problems } = await untilStatus(
        gateway,
        `the problems (${how})`,
        (now) => now.problems.length >= keys.length,
      );
      for (const key of keys) {
        const problem = problems.find((one) => one.key === key);
        assert.match(problem?.message ?? "", /last good version stays/, `${key} ${how}`);
      }
      assert.equal((await request(t, gateway.port, "/a")).text, "good", how);
      assert.equal((await request(t, gateway.port, "/marked")).get("x-mark"), "yes", how);
      const b = await request(t, gateway.port, "/b");
      assert.deepEqual([b.get("x-named"), b.get("x-global")], ["good", "good"], how);
      assert.equal((await request(t, gateway.port, "/echo/bytes/3")).text.length, 3, how);
    };
    await assertGood("at once");
    await gateway.kill();
    gateway = await startStoreGateway(scope, address, { after: gateway });
    await assertGood("after SIGKILL, with etcd");
    await gateway.stop();
    await etcd.kill();
    gateway = await startStoreGateway(scope, address, { after: gateway });
    assert.equal((await request(t, gateway.port, "/a")).text, "good", "with etcd away");
    await etcd.restart();
    await assertGood("with etcd back");
    await data.write({
      "/headgate/routes/a": respondRoute("/a", "mended"),
      "/headgate/middlewares/named": undefined,
      "/headgate/routes/b": respondRoute("/b", "b"),
      "/headgate/settings/global": undefined,
      "/headgate/services/echo": undefined,
      "/headgate/routes/echo": undefined,
      "/headgate/routes/marked": undefined,
    });
    await assertCaughtUp(gateway, etcd);
    assert.deepEqual((await storeStatus(gateway)).problems, []);
    assert.equal((await request(t, gateway.port, "/a")).text, "mended");
  },
);
