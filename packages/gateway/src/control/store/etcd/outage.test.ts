import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { etcdMissing, startEtcd, type Etcd } from "../../../../../../tests/kit/etcd.ts";
import { faultProxy } from "../../../../../../tests/kit/fault-proxy.ts";
import { waitFor } from "../../../../../../tests/kit/wait.ts";
import { systemClock, systemRandom } from "../../../core/clock.ts";
import { silentLog } from "../../../core/log.ts";
import { systemTimers } from "../../../core/timers.ts";
import { holdLease } from "../hold-lease.ts";
import { keyOf, prefixRange } from "../keys.ts";
import { assertRefused, get, put, record, Recorder } from "../store.fixtures.ts";
import type { Store } from "../store.ts";
import { openStore } from "./etcd.fixtures.ts";

/** What is served must equal what etcd holds within three seconds of its return. */
const returnMsMax = 3_000;
const range = prefixRange(keyOf("/k/"));
const skip = etcdMissing ?? false;

interface Bench {
  readonly etcd: Etcd;
  readonly store: Store;
  readonly recorder: Recorder;
}

async function watched(t: TestContext): Promise<Bench> {
  const etcd = await startEtcd(t);
  const store = openStore(t, [etcd.endpoint], { progressIntervalMs: 500, progressTimeoutMs: 500 });
  const recorder = await record(t, store, range);
  await recorder.until(() => recorder.connected, "a connection");
  return { etcd, store, recorder };
}

function disconnected(recorder: Recorder): Promise<true> {
  return recorder.until(() => !recorder.connected, "the loss of the connection");
}

test("real etcd: a stopped process is noticed, and what it tells after going on is told", { skip }, async (t) => {
  const { etcd, store, recorder } = await watched(t);
  await put(store, "/k/a", "1");
  etcd.stop();
  await disconnected(recorder);
  assert.match(recorder.connections.at(-1)?.reason ?? "", /no sign of life/);
  await assertRefused(put(openStore(t, [etcd.endpoint], { callTimeoutMs: 200 }), "/k/a", "lost?"), "unreachable");
  etcd.cont();
  const back = performance.now();
  const revision = await waitFor(() => put(store, "/k/a", "2").catch(() => undefined));
  await recorder.seen(revision);
  assert.ok(performance.now() - back < returnMsMax, `${performance.now() - back} ms`);
});

test("real etcd: killed and started again, it is followed from where it was left", { skip }, async (t) => {
  const { etcd, store, recorder } = await watched(t);
  await put(store, "/k/a", "0");
  for (let round = 1; round <= 3; round++) {
    await etcd.kill();
    await disconnected(recorder);
    await assertRefused(store.range(range), "unreachable");
    await etcd.restart();
    const back = performance.now();
    await etcd.ctl("put", "/k/a", String(round));
    await recorder.until(() => recorder.texts("/k/").includes(`put a=${round}`), `round ${round}`);
    assert.ok(performance.now() - back < returnMsMax, `${performance.now() - back} ms`);
  }
  assert.deepEqual(recorder.texts("/k/"), ["put a=0", "put a=1", "put a=2", "put a=3"]);
  assert.deepEqual(recorder.lost, []);
});

test("real etcd: a watch cut off while history is compacted is told so", { skip }, async (t) => {
  const etcd = await startEtcd(t);
  const proxy = await faultProxy(t, etcd.clientPort);
  const store = openStore(t, [`http://${proxy.address}`]);
  const recorder = await record(t, store, range);
  await recorder.seen(await put(store, "/k/a", "1"));
  proxy.refuse(true);
  proxy.cut();
  await disconnected(recorder);
  for (const value of ["2", "3", "4"]) await etcd.ctl("put", "/k/a", value);
  await etcd.ctl("compaction", "5");
  proxy.refuse(false);
  await recorder.until(() => recorder.lost.length > 0, "the loss");
  assert.deepEqual(recorder.lost, ["compacted"]);
  assert.deepEqual(recorder.texts("/k/"), ["put a=1"]);
});

test("real etcd: bytes that stop on an open connection are noticed, and nothing is missed", { skip }, async (t) => {
  const etcd = await startEtcd(t);
  const proxy = await faultProxy(t, etcd.clientPort);
  const options = { progressIntervalMs: 200, progressTimeoutMs: 300, callTimeoutMs: 300 };
  const store = openStore(t, [`http://${proxy.address}`], options);
  const recorder = await record(t, store, range);
  await recorder.seen(await put(store, "/k/a", "1"));
  proxy.stall();
  await etcd.ctl("put", "/k/a", "2");
  await disconnected(recorder);
  proxy.resume();
  await etcd.ctl("put", "/k/a", "3");
  await recorder.until(() => recorder.texts("/k/").length === 3, "all");
  assert.deepEqual(recorder.texts("/k/"), ["put a=1", "put a=2", "put a=3"]);
});

test("real etcd: stopped for long, connections do not pile up, and its going on is noticed", { skip }, async (t) => {
  const { etcd, store, recorder } = await watched(t);
  const before = openSockets();
  etcd.stop();
  await disconnected(recorder);
  const since = performance.now();
  await waitFor(() => performance.now() - since > 6_000); // three tries of two seconds and more
  assert.ok(openSockets() <= before + 2, `${before} before, ${openSockets()} after`);
  etcd.cont();
  const back = performance.now();
  await recorder.seen(await waitFor(() => put(store, "/k/a", "1").catch(() => undefined)));
  assert.ok(performance.now() - back < returnMsMax, `${performance.now() - back} ms`);
});

test(
  "real etcd: data that was wiped, and a backup that was restored, end the watch as replaced",
  { skip },
  async (t) => {
    const wiped = await watched(t);
    for (const value of ["1", "2", "3"]) await wiped.recorder.seen(await put(wiped.store, "/k/a", value));
    await wiped.etcd.wipe();
    await wiped.recorder.until(() => wiped.recorder.lost.length > 0, "the loss");
    assert.deepEqual(wiped.recorder.lost, ["replaced"]);
    assert.equal(await get(wiped.store, "/k/a"), undefined);

    const restored = await watched(t);
    await restored.recorder.seen(await put(restored.store, "/k/a", "old"));
    const directory = mkdtempSync(join(tmpdir(), "headgate-backup-"));
    t.after(() => rmSync(directory, { recursive: true }));
    await restored.etcd.snapshot(join(directory, "backup"));
    for (const value of ["1", "2", "3"]) await restored.recorder.seen(await put(restored.store, "/k/a", value));
    await restored.etcd.restore(join(directory, "backup"));
    await restored.recorder.until(() => restored.recorder.lost.length > 0, "the loss");
    assert.deepEqual(restored.recorder.lost, ["replaced"]);
    assert.equal((await get(restored.store, "/k/a"))?.value.toString(), "old");
  },
);

test("real etcd: a held lease outlives a restart and is put again after a wipe", { skip }, async (t) => {
  const etcd = await startEtcd(t);
  const store = openStore(t, [etcd.endpoint], { callTimeoutMs: 500 });
  const lease = holdLease({
    store,
    ttlSeconds: 3,
    put: () => [{ key: keyOf("/k/held"), value: Buffer.from("1") }],
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: silentLog,
  });
  t.after(() => lease.release());
  const held = (): Promise<true> =>
    waitFor(async () => (await get(store, "/k/held").catch(() => undefined)) !== undefined, { what: "the held key" });
  await held();
  await etcd.restart();
  await held();
  await etcd.wipe();
  await held();
  await lease.release();
  assert.equal(await get(store, "/k/held"), undefined);
});

test("real etcd: users, roles, wrong passwords, and tokens that a restart forgets", { skip }, async (t) => {
  const etcd = await startEtcd(t);
  await etcd.ctl("user", "add", "root:root");
  await etcd.ctl("user", "add", "gateway:secret");
  await etcd.ctl("role", "add", "reader");
  await etcd.ctl("role", "grant-permission", "--prefix=true", "reader", "readwrite", "/k/");
  await etcd.ctl("user", "grant-role", "gateway", "reader");
  await etcd.ctl("user", "grant-role", "root", "root");
  await etcd.ctl("auth", "enable");
  const store = openStore(t, [etcd.endpoint], { user: { name: "gateway", password: "secret" } });
  const first = await put(store, "/k/a", "1");
  await assertRefused(put(store, "/other", "1"), "unauthorized");
  const { clusterId } = await store.range(range);
  // `record` reads a key that this user may not see.
  const heard = new Recorder();
  heard.watch = store.watch({ ...range, from: first, clusterId }, heard);
  t.after(() => heard.watch.close());
  await heard.seen(first);
  await etcd.restart();
  const back = performance.now();
  const second = await waitFor(() => put(store, "/k/a", "2").catch(() => undefined));
  await heard.seen(second);
  assert.ok(performance.now() - back < returnMsMax, `${performance.now() - back} ms`);
  assert.deepEqual(heard.texts("/k/"), ["put a=1", "put a=2"]);

  const wrong = openStore(t, [etcd.endpoint], { user: { name: "gateway", password: "guess" } });
  await assert.rejects(wrong.range(range), /refuses the user name or the password/);
  await assert.rejects(openStore(t, [etcd.endpoint]).range(range), /asks for a user/);
  const denied = new Recorder();
  denied.watch = store.watch({ key: keyOf("/other"), from: second, clusterId }, denied);
  t.after(() => denied.watch.close());
  await denied.until(() => denied.connections.some(({ reason }) => /does not allow/.test(reason)), "the refusal");
});

/** Those of this process, as the kernel counts them: one that Node has lost sight of is there too. */
function openSockets(): number {
  const isSocket = (descriptor: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("socket:");
    } catch {
      return false; // that of the listing itself
    }
  };
  return readdirSync("/proc/self/fd").filter(isSocket).length;
}

const openssl = "/usr/bin/openssl";
const noTls = skip !== false ? skip : existsSync(openssl) ? false : "openssl, which makes the certificates, is missing";

test("real etcd: over TLS, with certificates on both sides", { skip: noTls }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "headgate-tls-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const at = (name: string): string => join(directory, name);
  const run = (...args: string[]): unknown => execFileSync(openssl, args, { cwd: directory, stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  run("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2");
  writeFileSync(at("names"), "subjectAltName=IP:127.0.0.1,DNS:etcd.test\nextendedKeyUsage=serverAuth,clientAuth\n");
  for (const name of ["server", "client"]) {
    run("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
    run("x509", "-req", "-in", `${name}.csr`, ...signed, "-out", `${name}.pem`);
  }
  const etcd = await startEtcd(t, {
    tls: { cert: at("server.pem"), key: at("server.key"), ca: at("ca.pem") },
    ctlArgs: [`--cacert=${at("ca.pem")}`, `--cert=${at("client.pem")}`, `--key=${at("client.key")}`],
  });
  const pem = (name: string): string => readFileSync(at(name), "utf8");
  const tls = { ca: pem("ca.pem"), cert: pem("client.pem"), key: pem("client.key") };
  const store = openStore(t, [etcd.endpoint], { tls });
  const recorder = await record(t, store, range);
  await recorder.seen(await put(store, "/k/a", "1"));
  const named = openStore(t, [etcd.endpoint], { tls: { ...tls, serverName: "etcd.test" } });
  assert.equal((await get(named, "/k/a"))?.value.toString(), "1");
  const otherName = openStore(t, [etcd.endpoint], { tls: { ...tls, serverName: "other.test" } });
  await assert.rejects(get(otherName, "/k/a"), /other\.test/);
  const untrusted = openStore(t, [etcd.endpoint], { tls: { cert: tls.cert, key: tls.key } });
  await assertRefused(get(untrusted, "/k/a"), "unreachable");
  const before = openSockets();
  for (let tries = 0; tries < 5; tries++) {
    const nobody = openStore(t, [etcd.endpoint], { tls: { ca: tls.ca } });
    await assert.rejects(get(nobody, "/k/a"), /bad certificate/);
    await nobody.close();
  }
  await waitFor(() => openSockets() <= before + 1, { what: "refused connections to be closed" });
});
