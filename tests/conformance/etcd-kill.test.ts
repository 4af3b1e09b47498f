import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { seededRandom } from "../kit/clock.ts";
import { etcdMissing } from "../kit/etcd.ts";
import { freePort } from "../kit/ports.ts";
import { ManualScope, type Scope } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";
import { Caller } from "./etcd-caller.ts";
import { etcdctl } from "./etcd-served.ts";

const kills = 5;
const writers = 4;
const seed = 20_260_101;

interface Server {
  readonly address: string;
  start(): Promise<void>;
  kill(): Promise<void>;
}

function server(scope: Scope, port: number): Server {
  const dataDir = mkdtempSync(join(tmpdir(), "headgate-kill-"));
  const address = `127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  scope.after(async () => {
    await kill();
    rmSync(dataDir, { recursive: true, force: true });
  });
  return {
    address,
    kill,
    start: async () => {
      const script = join(import.meta.dirname, "etcd-serve-process.ts");
      const started = spawn(process.execPath, [script, dataDir, address], { stdio: ["ignore", "pipe", "pipe"] });
      child = started;
      let said = "";
      started.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
      started.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
      await waitFor(() => said.includes(`serving ${address}`) || undefined, { what: () => `the server: ${said}` });
    },
  };
}

interface Written {
  readonly revision: number;
  readonly value: string;
}

/** Transactions of two keys each, until the server is gone; what was acknowledged is written down. */
async function write(caller: Caller, writer: number, run: number, wrote: (written: Written) => void): Promise<void> {
  for (let count = 0; ; count++) {
    const value = `${run}.${writer}.${count}`;
    const puts = ["left", "right"].map((side) => ({
      request_put: { key: Buffer.from(`${side}/${writer}`), value: Buffer.from(value) },
    }));
    const answer = await caller.unary(caller.rpc.KV.Txn, { success: puts });
    if ("error" in answer) return;
    wrote({ revision: Number(answer.response.header?.revision), value });
  }
}

test("what the server acknowledged or told a watcher survives kill -9, and transactions are whole", async (t) => {
  const random = seededRandom(seed);
  const { address, start, kill } = server(t, await freePort());
  const acknowledged: Written[] = [];
  for (let run = 0; run < kills; run++) {
    await start();
    const scope = new ManualScope();
    const caller = new Caller(scope, address);
    const talk = caller.watch();
    talk.send({ create_request: { key: Buffer.from("\0"), range_end: Buffer.from("\0") } });
    await talk.until((received) => received.length > 0, "the watch");
    const enough = acknowledged.length + 20 + Math.floor(random() * 200);
    let killed: Promise<void> | undefined;
    const wrote = (written: Written): void => {
      acknowledged.push(written);
      if (acknowledged.length >= enough) killed ??= kill();
    };
    await Promise.all(Array.from({ length: writers }, (_, writer) => write(caller, writer, run, wrote)));
    await killed;
    const told = talk.received.flatMap(({ events }) => events.map(({ kv }) => Number(kv?.mod_revision)));
    await scope.close();
    await start();
    await check(address, acknowledged, Math.max(...told));
    await kill();
  }
  assert.ok(acknowledged.length > kills * 20);
});

async function check(address: string, acknowledged: readonly Written[], toldRevision: number): Promise<void> {
  const scope = new ManualScope();
  try {
    const caller = new Caller(scope, address);
    const { KV } = caller.rpc;
    const all = await caller.must(KV.Range, { key: Buffer.from("\0"), range_end: Buffer.from("\0") });
    const newest = Number(all.header?.revision);
    assert.ok(newest >= toldRevision, `a watcher was told revision ${toldRevision}; the store is at ${newest}`);
    const now = new Map(all.kvs.map((kv) => [kv.key.toString(), kv]));
    for (let writer = 0; writer < writers; writer++) {
      const left = now.get(`left/${writer}`);
      const right = now.get(`right/${writer}`);
      assert.deepEqual([left?.value, left?.mod_revision], [right?.value, right?.mod_revision]);
    }
    const reads = acknowledged.map(async ({ revision, value }) => {
      const key = Buffer.from(`left/${value.split(".")[1]}`);
      const { kvs } = await caller.must(KV.Range, { key, revision: String(revision) });
      assert.equal(kvs[0]?.value.toString(), value, `acknowledged at revision ${revision}`);
    });
    await Promise.all(reads);
  } finally {
    await scope.close();
  }
}

test("what etcdctl was told is done survives kill -9", { skip: etcdMissing }, async (t) => {
  const { address, start, kill } = server(t, await freePort());
  await start();
  let done = 0;
  for (; done < 10; done++) assert.equal((await etcdctl(address, ["put", `k${done}`, `v${done}`])).stdout, "OK\n");
  await kill();
  await start();
  const { stdout } = await etcdctl(address, ["get", "--prefix", "k", "--print-value-only"]);
  assert.deepEqual(
    stdout.trimEnd().split("\n"),
    Array.from({ length: done }, (_, index) => `v${index}`),
  );
});
