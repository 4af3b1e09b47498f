import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { etcdMissing, startEtcd, type Etcd } from "../../../tests/kit/etcd.ts";
import { deadPort } from "../../../tests/kit/ports.ts";
import { waitFor } from "../../../tests/kit/wait.ts";
import { register, type Registration, type RegisterOptions } from "./index.ts";
import { startService } from "./service-process.fixtures.ts";

const key = "/services/users/127.0.0.1:3001";
const healthKey = "/health/users/127.0.0.1:3001";

interface Stored {
  readonly value: string;
  /** Hexadecimal, as etcdctl takes it. */
  readonly lease: string;
  readonly modRevision: number;
}

async function read(etcd: Etcd, at = key): Promise<Stored | undefined> {
  const text = await etcd.ctl("get", at, "-w", "json");
  // Lease ids have more digits than a number holds.
  const said = JSON.parse(text.replace(/"lease":(\d+)/, '"lease":"$1"')) as {
    kvs?: { value: string; lease?: string; mod_revision: number }[];
  }; // what etcdctl prints
  const [kv] = said.kvs ?? [];
  if (kv === undefined) return undefined;
  return {
    value: Buffer.from(kv.value, "base64").toString(),
    lease: BigInt(kv.lease ?? 0).toString(16),
    modRevision: kv.mod_revision,
  };
}

function optionsFor(etcd: Etcd): RegisterOptions & { log: NonNullable<RegisterOptions["log"]> } {
  const to = { etcd: [etcd.endpoint] };
  return { service: "users", address: "127.0.0.1:3001", ttl: "2s", to, signals: false, log: () => undefined };
}

async function start(t: TestContext, options: RegisterOptions): Promise<Registration> {
  const registration = await register(options);
  t.after(() => registration.end());
  return registration;
}

test("real etcd", { skip: etcdMissing }, async (t) => {
  const etcd = await startEtcd(t);

  await t.test("a registration is there under a lease, stays, and is gone when it ends", async (t) => {
    const registration = await start(t, { ...optionsFor(etcd), ttl: 1_000, weight: 3, zone: "a", version: "1.2.0" });
    assert.equal(registration.state, "registered");
    const first = await read(etcd);
    assert.equal(first?.value, '{"status":"UP","weight":3,"zone":"a","version":"1.2.0"}');
    assert.notEqual(first.lease, "0");
    const startedAtMs = performance.now();
    // Three times as long as the lease: without keep-alives it could not be the same.
    await waitFor(() => performance.now() - startedAtMs > 3_000);
    assert.deepEqual(await read(etcd), first);
    await registration.end();
    assert.equal(registration.state, "ended");
    assert.equal(await read(etcd), undefined);
    assert.doesNotMatch(await etcd.ctl("lease", "list"), /^[0-9a-f]{16}$/m);
  });

  await t.test("health reports are written under the same lease and go with it", async (t) => {
    const registration = await start(t, { ...optionsFor(etcd), health: { intervalMs: 100 } });
    const report = await waitFor(() => read(etcd, healthKey), { what: "a health report" });
    const said = JSON.parse(report.value) as { metrics: Record<string, number>; timestamp: number }; // checked below
    const { metrics, timestamp, ...rest } = said;
    assert.deepEqual(rest, { serviceId: "users", instanceId: "127.0.0.1:3001", status: "UP" });
    for (const name of ["cpuUsage", "memoryUsage"]) assert.ok((metrics[name] ?? -1) >= 0 && (metrics[name] ?? 2) <= 1);
    assert.ok((metrics["eventLoopDelayMs"] ?? -1) >= 0);
    assert.ok(Math.abs(timestamp - Date.now()) < 60_000);
    assert.equal(report.lease, (await read(etcd))?.lease);
    await registration.end();
    assert.equal(await read(etcd, healthKey), undefined);
  });

  await t.test("a lease that is revoked from outside is replaced", async (t) => {
    const registration = await start(t, optionsFor(etcd));
    const first = await read(etcd);
    await etcd.ctl("lease", "revoke", first?.lease ?? "");
    const second = await waitFor(() => read(etcd), { what: "the key again" });
    assert.notEqual(second.lease, first?.lease);
    assert.equal(registration.state, "registered");
  });

  await t.test("draining is announced first and the key goes after the wait", async (t) => {
    const options = { ...optionsFor(etcd), drainMs: 20_000, noticeMs: 100, inFlight: () => busy };
    let busy = 1;
    const registration = await start(t, options);
    const lease = (await read(etcd))?.lease;
    const drained = registration.drain();
    const draining = await waitFor(async () => {
      const stored = await read(etcd);
      return stored?.value === '{"status":"DRAINING"}' && stored;
    });
    assert.equal(draining.lease, lease);
    assert.equal(registration.state, "draining");
    assert.equal(registration.drain(), drained);
    busy = 0;
    await drained;
    assert.equal(registration.state, "ended");
    assert.equal(await read(etcd), undefined);
  });

  await t.test("an endpoint that is dead is passed over", async (t) => {
    const to = { etcd: [`http://127.0.0.1:${await deadPort()}`, `${etcd.endpoint}/`] };
    const registration = await start(t, { ...optionsFor(etcd), to });
    assert.equal(registration.state, "registered");
  });

  await t.test("prefixes are those given", async (t) => {
    await start(t, { ...optionsFor(etcd), to: { etcd: [etcd.endpoint], prefix: "/elsewhere" } });
    assert.equal((await read(etcd, "/elsewhere/users/127.0.0.1:3001"))?.value, '{"status":"UP"}');
  });

  await t.test("a service that is killed is gone after its time to live", async (t) => {
    const service = startService(t, { ...optionsFor(etcd), serve: true });
    await service.line(/state registered/);
    assert.notEqual(await read(etcd), undefined);
    service.child.kill("SIGKILL");
    await waitFor(async () => (await read(etcd)) === undefined, { what: "the key to go" });
  });

  await t.test("a service that was stopped for longer than its lease registers again when it goes on", async (t) => {
    const service = startService(t, { ...optionsFor(etcd), serve: true });
    await service.line(/state registered/);
    service.child.kill("SIGSTOP");
    await waitFor(async () => (await read(etcd)) === undefined, { what: "the key to go" });
    service.child.kill("SIGCONT");
    await waitFor(() => read(etcd), { what: "the key again", deadlineMs: 2_500 });
    await service.line(/info: users at 127.0.0.1:3001 is registered again/);
  });

  await t.test("a process with nothing left to do ends by itself, registered as it is", async (t) => {
    const service = startService(t, { ...optionsFor(etcd), signals: true, health: true });
    await service.line(/state registered/);
    assert.deepEqual(await service.exited, { code: 0, signal: null });
    await waitFor(async () => (await read(etcd)) === undefined, { what: "the key to go" });
  });
});

test(
  "an etcd that was away, or stood still, for longer than the lease has the instance within two seconds",
  { skip: etcdMissing },
  async (t) => {
    const etcd = await startEtcd(t);
    const said: string[] = [];
    const options = {
      ...optionsFor(etcd),
      ttl: "1s",
      log: (level: string, message: string) => said.push(`${level} ${message}`),
    };
    const registration = await start(t, options);
    const retrying = (): Promise<unknown> => waitFor(() => registration.state === "retrying", { what: "the loss" });

    await etcd.kill();
    await retrying();
    await etcd.wipe();
    const backAtMs = performance.now();
    await waitFor(() => read(etcd), { what: "the key in the empty etcd" });
    assert.ok(performance.now() - backAtMs < 2_000);

    etcd.stop();
    await retrying();
    etcd.cont();
    await waitFor(() => registration.state === "registered", { what: "the registration again", deadlineMs: 2_000 });
    await waitFor(() => read(etcd), { what: "the key" });
    assert.match(said[1] ?? "", /^warn users at 127.0.0.1:3001 is not sure to be registered, trying again: etcd at /);
    assert.equal(said.filter((line) => line.endsWith("is registered again")).length, 2);
  },
);

test("users of etcd", { skip: etcdMissing }, async (t) => {
  const etcd = await startEtcd(t);
  await etcd.ctl("role", "add", "services");
  await etcd.ctl("role", "grant-permission", "services", "--prefix=true", "readwrite", "/services/");
  for (const user of ["root:r", "kim:k", "lee:l"]) await etcd.ctl("user", "add", user);
  await etcd.ctl("user", "grant-role", "root", "root");
  await etcd.ctl("user", "grant-role", "kim", "services");
  await etcd.ctl("auth", "enable");
  const asRoot = "--user=root:r";

  const cases: readonly [name: string, credentials: object, complaint: RegExp][] = [
    ["no user", {}, /asks for a user: give to.username and to.password/],
    ["a wrong password", { username: "kim", password: "x" }, /refuses the user "kim" or its password: correct/],
    ["an unknown user", { username: "max", password: "x" }, /refuses the user "max" or its password: correct/],
    [
      "a user without the right",
      { username: "lee", password: "l" },
      /does not let the user "lee" write \/services\/users/,
    ],
  ];
  for (const [name, credentials, complaint] of cases) {
    await t.test(`${name} is told in one sentence, and tried again`, async (t) => {
      const said: string[] = [];
      const to = { etcd: [etcd.endpoint], ...credentials };
      const registration = await start(t, {
        ...optionsFor(etcd),
        to,
        log: (level, message) => said.push(`${level} ${message}`),
      });
      assert.equal(registration.state, "retrying");
      assert.equal(said.length, 1);
      assert.match(said[0] ?? "", complaint);
      assert.doesNotMatch(said[0] ?? "", /password: k|"x"/);
      await registration.end();
    });
  }

  await t.test("the right user registers, and again when etcd has forgotten its token", async (t) => {
    const to = { etcd: [etcd.endpoint], username: "kim", password: "k" };
    const registration = await start(t, { ...optionsFor(etcd), to, drainMs: 0 });
    assert.equal(registration.state, "registered");
    // Simple tokens are in the memory of the server that gave them.
    await etcd.kill();
    await waitFor(() => registration.state === "retrying");
    await etcd.restart();
    await waitFor(() => registration.state === "registered", { what: "the registration again" });
    assert.match(await etcd.ctl(asRoot, "get", key), /"status":"UP"/);
    await registration.drain();
    assert.equal(await etcd.ctl(asRoot, "get", key), "");
  });
});
