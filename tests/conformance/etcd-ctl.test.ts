import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import test, { type TestContext } from "node:test";
import type { Log } from "../../packages/gateway/src/core/log.ts";
import { silentLog } from "../../packages/gateway/src/core/log.ts";
import { keyOf } from "../../packages/gateway/src/control/store/keys.ts";
import { etcdMissing } from "../kit/etcd.ts";
import type { Scope } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";
import { Caller } from "./etcd-caller.ts";
import { etcdctl, startServed, type CtlResult } from "./etcd-served.ts";

const skip = etcdMissing;

type Ctl = (...args: string[]) => Promise<CtlResult>;

async function start(
  t: TestContext,
): Promise<{ address: string; ctl: Ctl; ok: (...args: string[]) => Promise<string> }> {
  const { address } = await startServed(t);
  const ctl: Ctl = (...args) => etcdctl(address, args);
  return {
    address,
    ctl,
    ok: async (...args) => {
      const { code, stdout, stderr } = await ctl(...args);
      assert.equal(code, 0, stderr);
      return stdout;
    },
  };
}

/** A command that goes on: its output so far, and its end. */
function follow(scope: Scope, address: string, ...args: string[]): { output: () => string; child: ChildProcess } {
  const env = { PATH: "/usr/bin:/bin", ETCDCTL_API: "3" };
  const child = spawn("etcdctl", [`--endpoints=${address}`, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString("latin1")));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString("latin1")));
  const gone = once(child, "exit");
  scope.after(async () => {
    // What etcdctl does when it is asked to end needs the server, which may be gone.
    child.kill("SIGKILL");
    await gone;
  });
  return { output: () => said, child };
}

test("etcdctl puts, gets and deletes", { skip }, async (t) => {
  const { ok, ctl } = await start(t);
  assert.equal(await ok("put", "a", "1"), "OK\n"); // revision 2
  assert.equal(await ok("put", "a", "2", "--prev-kv"), "OK\na\n1\n");
  assert.equal(await ok("put", "b/1", "x"), "OK\n");
  assert.equal(await ok("put", "b/2", "y"), "OK\n");
  assert.equal(await ok("get", "a"), "a\n2\n");
  assert.equal(await ok("get", "a", "--rev=2"), "a\n1\n");
  assert.equal(await ok("get", "--prefix", "b/"), "b/1\nx\nb/2\ny\n");
  assert.equal(await ok("get", "--prefix", "b/", "--limit=1", "--keys-only"), "b/1\n\n");
  assert.equal(
    await ok("get", "--prefix", "", "--sort-by=MODIFY", "--order=DESCEND", "--print-value-only"),
    "y\nx\n2\n",
  );
  assert.equal(await ok("get", "a", "b/2"), "a\n2\nb/1\nx\n");
  assert.equal(await ok("get", "--from-key", "b/2"), "b/2\ny\n");
  assert.equal(await ok("get", "none"), "");
  assert.equal(await ok("del", "none"), "0\n");
  assert.equal(await ok("del", "--prefix", "b/", "--prev-kv"), "2\nb/1\nx\nb/2\ny\n");
  assert.match(await ok("get", "a", "-w", "fields"), /"Revision" : 6\n.*"ModRevision" : 3\n"Version" : 2\n/s);
  const json = JSON.parse(await ok("get", "a", "-w", "json")) as { kvs: { value: string }[]; count: number };
  assert.equal(Buffer.from(json.kvs[0]?.value ?? "", "base64").toString(), "2");
  const future = await ctl("get", "a", "--rev=99");
  assert.equal(future.code, 1);
  assert.match(future.stderr, /required revision is a future revision/);
});

test("etcdctl runs transactions", { skip }, async (t) => {
  const { address, ok } = await start(t);
  await ok("put", "user", "alice");
  const text = 'value("user") = "alice"\nversion("user") = "1"\n\nput user bob\nget user\n\nput user nobody\n\n';
  const taken = await etcdctl(address, ["txn"], text);
  assert.equal(taken.stdout, "SUCCESS\n\nOK\n\nuser\nbob\n");
  const refused = await etcdctl(address, ["txn"], text);
  assert.equal(refused.stdout, "FAILURE\n\nOK\n");
  assert.equal(await ok("get", "user", "--print-value-only"), "nobody\n");
  const twice = await etcdctl(address, ["txn"], "\nput a 1\nput a 2\n\n\n");
  assert.equal(twice.code, 1);
  assert.match(twice.stderr, /duplicate key given in txn request/);
});

test("etcdctl watches: from now on, from the past, and behind a compaction", { skip }, async (t) => {
  const { address, ok } = await start(t);
  await ok("put", "w/1", "old");
  const past = follow(t, address, "watch", "--prefix", "w/", "--rev=2", "--prev-kv");
  await waitFor(() => past.output() === "PUT\nw/1\nold\n" || undefined, { what: past.output });
  await ok("put", "w/1", "new");
  await ok("del", "w/1");
  const expected = "PUT\nw/1\nold\nPUT\nw/1\nold\nw/1\nnew\nDELETE\nw/1\nnew\nw/1\n\n";
  await waitFor(() => past.output() === expected || undefined, { what: past.output });
  await ok("compaction", "4");
  const lost = follow(t, address, "watch", "w/1", "--rev=2");
  const [code] = (await once(lost.child, "exit")) as [number];
  assert.notEqual(code, 0);
  assert.match(lost.output(), /required revision has been compacted/);
  assert.match((await etcdctl(address, ["compaction", "3"])).stderr, /required revision has been compacted/);
});

test("etcdctl's elections and locks, which stand on leases and watches, work", { skip }, async (t) => {
  const { address } = await start(t);
  const first = follow(t, address, "lock", "mutex", "--ttl=5");
  const key = await waitFor(() => /^mutex\/[0-9a-f]+\n/.exec(first.output())?.[0], { what: first.output });
  const second = follow(t, address, "lock", "mutex", "--ttl=5");
  const waiting = await waitFor(async () => {
    const { stdout } = await etcdctl(address, ["get", "--prefix", "mutex/", "--keys-only"]);
    return stdout.split("\n").filter((line) => line !== "").length === 2;
  });
  assert.ok(waiting);
  assert.equal(second.output(), "");
  first.child.kill("SIGINT");
  const next = await waitFor(() => /^mutex\/[0-9a-f]+\n/.exec(second.output())?.[0], { what: second.output });
  assert.notEqual(next, key);
  const leader = follow(t, address, "elect", "election", "me");
  await waitFor(() => leader.output().endsWith("me\n") || undefined, { what: leader.output });
});

test("etcdctl grants leases, keeps them alive, looks at them and ends them", { skip }, async (t) => {
  const { address, ok, ctl } = await start(t);
  const id = /^lease ([0-9a-f]+) granted with TTL\(60s\)\n$/.exec(await ok("lease", "grant", "60"))?.[1] ?? "";
  await ok("put", "leased", "x", `--lease=${id}`);
  assert.equal(await ok("lease", "list"), `found 1 leases\n${id}\n`);
  assert.match(
    await ok("lease", "timetolive", id, "--keys"),
    new RegExp(`^lease ${id} granted with TTL\\(60s\\), remaining\\((59|60)s\\), attached keys\\(\\[leased\\]\\)\n$`),
  );
  assert.equal(await ok("lease", "keep-alive", "--once", id), `lease ${id} keepalived with TTL(60)\n`);
  const kept = follow(t, address, "lease", "keep-alive", id);
  await waitFor(() => kept.output() === `lease ${id} keepalived with TTL(60)\n` || undefined, { what: kept.output });
  assert.equal(await ok("lease", "revoke", id), `lease ${id} revoked\n`);
  assert.equal(await ok("get", "leased"), "");
  assert.equal(await ok("lease", "timetolive", id), `lease ${id} already expired\n`);
  const again = await ctl("lease", "revoke", id);
  assert.notEqual(again.code, 0);
  assert.match(again.stderr, /requested lease not found/);
  assert.match((await ctl("put", "x", "y", `--lease=${id}`)).stderr, /requested lease not found/);
});

test("etcdctl finds a healthy cluster of one member", { skip }, async (t) => {
  const { address, ok, ctl } = await start(t);
  await ok("put", "a", "1");
  assert.match(await ok("member", "list"), new RegExp(`^[0-9a-f]+, started, headgate, , http://${address}, false\n$`));
  assert.match(
    await ok("endpoint", "status"),
    new RegExp(`^${address}, [0-9a-f]+, 3\\.5\\.\\d+\\+headgate\\.1\\.2\\.3, .*, true, false, 1, 2, 2, \n$`),
  );
  // The list of members is where this asks for the endpoint.
  assert.match((await ctl("endpoint", "health", "--cluster")).stderr, /is healthy: successfully committed proposal/);
  const hash = await ok("endpoint", "hashkv");
  assert.match(hash, new RegExp(`^${address}, \\d+\n$`));
  assert.equal(await ok("endpoint", "hashkv", "--rev=2"), hash);
  await ok("put", "a", "2");
  assert.notEqual(await ok("endpoint", "hashkv"), hash);
  assert.equal(await ok("endpoint", "hashkv", "--rev=2"), hash);
  assert.equal(await ok("alarm", "list"), "");
  assert.match(await ok("defrag"), /^Finished defragmenting/);
});

test("etcdctl is told in words what there is not", { skip }, async (t) => {
  const { ctl } = await start(t);
  const cases: readonly (readonly [args: readonly string[], told: RegExp])[] = [
    [["user", "list"], /authentication is not enabled/],
    [["auth", "enable"], /authentication is not enabled/],
    [["member", "add", "two", "--peer-urls=http://127.0.0.1:1"], /for more than one machine use etcd/],
    [["snapshot", "save", "/tmp/headgate-none.snapshot"], /copy its file store\.db/],
    [["move-leader", "1"], /no other member/],
  ];
  for (const [args, told] of cases) {
    const { code, stderr } = await ctl(...args);
    assert.notEqual(code, 0, args.join(" "));
    assert.match(stderr, told);
  }
});

test("an address that other machines reach is warned about; loopback is not", async (t) => {
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (_fields, message) => warnings.push(message) };
  await startServed(t, { log, address: "127.0.0.1:0" });
  assert.deepEqual(warnings, []);
  const { port } = await startServed(t, { log, address: "0.0.0.0:0" });
  assert.match(warnings.join(), /no authentication/);
  await assert.rejects(startServed(t, { address: `127.0.0.1:${port}` }), /cannot listen on 127\.0\.0\.1/);
  await assert.rejects(startServed(t, { address: "2379" }), /write it as 127\.0\.0\.1:2379/);
});

test("closing ends streams with etcd's words and leaves the port", async (t) => {
  const { address, port, store, close } = await startServed(t);
  const caller = new Caller(t, address);
  const talk = caller.watch();
  talk.send({ create_request: { key: Buffer.from(keyOf("a")) } });
  await talk.until((all) => all.length === 1, "created");
  await close();
  await talk.until(() => false, "the end of the stream");
  assert.deepEqual(talk.ended, { code: 14, details: "etcdserver: server stopped" });
  assert.equal((await store.range({ key: "a" })).count, 0);
  assert.equal((await startServed(t, { address: `127.0.0.1:${port}` })).port, port);
});
