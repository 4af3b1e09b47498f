import assert from "node:assert/strict";
import { test } from "node:test";
import type { GatewaySettings } from "@headgate/schema";
import type { Log } from "../core/log.ts";
import { LookedAt } from "../proxy/looked-at.ts";
import { Recent, shapesOf } from "../proxy/recent.ts";
import { clientOf, requestOf } from "../proxy/router/router.fixtures.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { WorkerHost, type HostedProxy } from "./worker-host.ts";
import type { FromWorker, WorkerStart } from "./worker-messages.ts";

interface Built {
  readonly revision: number;
  readonly discard: () => void;
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function hosting(overrides: Partial<HostedProxy<Built>> = {}) {
  const said: FromWorker[] = [];
  const did: string[] = [];
  const build = ({ revision }: SnapshotChange): Built => ({ revision, discard: () => did.push(`discard ${revision}`) });
  const proxy: HostedProxy<Built> = {
    prepare: (change) => Promise.resolve(build(change)),
    commit: ({ revision }) => void did.push(`commit ${revision}`),
    listen: () => Promise.resolve([{ address: "127.0.0.1:1", port: 1 }]),
    drain: (timeoutMs) => Promise.resolve(void did.push(`drain ${timeoutMs}`)),
    close: () => void did.push("close"),
    ahead: (routes) => void did.push(`ahead ${routes.map(([name]) => name).join()}`),
    forgetAhead: () => void did.push("forget"),
    receive: (message) => void did.push(message.type),
    recent: () => new Recent(3).tell(new LookedAt()),
    ...overrides,
  };
  const start: WorkerStart = {
    workerId: 1,
    workers: 1,
    settings: {} as GatewaySettings, // the host does not look at them
    limiterMemory: new SharedArrayBuffer(8),
    connectionMemory: new SharedArrayBuffer(4),
    heartbeatMemory: new SharedArrayBuffer(8),
    reusePort: true,
  };
  let tick = (): void => {};
  const timers = {
    after: () => () => {},
    every: (_ms: number, action: () => void) => {
      tick = action;
      return () => void did.push("stop beating");
    },
  };
  let log: Log | undefined;
  const host = new WorkerHost<Built>({
    start,
    clock: { now: () => 0, wall: () => 0 },
    timers,
    utilization: () => 0.5,
    post: (message) => said.push(message),
    beforeListening: () => void did.push("before listening"),
    exit: () => did.push("exit"),
    build: (given) => {
      log = given;
      const accessLog = {
        reopen: () => void did.push("reopen"),
        close: () => Promise.resolve(void did.push("close log")),
      };
      return { proxy, accessLog };
    },
  });
  const heartbeats = new Int32Array(start.heartbeatMemory);
  const types = (): string[] => said.filter((message) => message.type !== "metrics").map((message) => message.type);
  return { host, said, did, types, heartbeats, beat: () => tick(), log: () => log };
}

const change = (revision: number): SnapshotChange => ({ revision });

test("it says that it is there, prepares, commits and listens as told", async () => {
  const { host, said, did, types } = hosting();
  host.receive({ type: "prepare", id: 7, change: change(3) });
  await settled();
  host.receive({ type: "commit", id: 7 });
  host.receive({ type: "listen" });
  await settled();
  assert.deepEqual(types(), ["booted", "prepared", "committed", "listening"]);
  assert.deepEqual(did, ["commit 3", "before listening"]);
  assert.deepEqual(
    said.find((message) => message.type === "committed"),
    { type: "committed", id: 7, revision: 3 },
  );
});

test("what cannot be built or listened on is answered with why", async () => {
  const { host, said } = hosting({
    prepare: () => Promise.reject(new Error("no such key")),
    listen: () => Promise.reject(new Error("taken")),
  });
  host.receive({ type: "prepare", id: 1, change: change(1) });
  host.receive({ type: "listen" });
  await settled();
  assert.deepEqual(
    said.slice(1).filter((message) => message.type !== "metrics"),
    [
      { type: "rejected", id: 1, message: "no such key", failures: [] },
      { type: "listen-failed", message: "taken" },
    ],
  );
});

test("what is abandoned is discarded, also when it is finished only then, and cannot be committed", async () => {
  const { host, did, types } = hosting();
  host.receive({ type: "prepare", id: 1, change: change(1) });
  await settled();
  host.receive({ type: "abandon", id: 1 });
  host.receive({ type: "commit", id: 1 });
  host.receive({ type: "prepare", id: 2, change: change(2) });
  host.receive({ type: "abandon", id: 2 });
  await settled();
  assert.deepEqual(did, ["discard 1", "discard 2"]);
  assert.deepEqual(types(), ["booted", "prepared"]);
});

test("what is told ahead is made ready part by part, before the change that takes it", async () => {
  const { host, did, types } = hosting({
    prepare: ({ revision }) =>
      Promise.resolve({ revision, discard: () => undefined }).finally(() => did.push("prepare")),
  });
  for (const name of ["a", "b"]) host.receive({ type: "ahead", text: JSON.stringify([[name, {}]]) });
  host.receive({ type: "prepare", id: 1, change: { revision: 1, aheadBut: [] } });
  host.receive({ type: "forget-ahead" });
  const done: number[] = [];
  for (let turn = 0; turn < 5; turn++) {
    await settled();
    done.push(did.filter((one) => one.startsWith("ahead")).length);
  }
  // Each part has a turn of its own: others have theirs between.
  assert.ok(done.includes(1), done.join());
  assert.deepEqual(did, ["ahead a", "ahead b", "prepare", "forget"]);
  assert.deepEqual(types(), ["booted", "prepared"]);
});

test("draining finishes exchanges, then the log, then the worker", async () => {
  const { host, did, types } = hosting();
  host.receive({ type: "drain", timeoutMs: 5 });
  await settled();
  assert.deepEqual(did, ["drain 5", "close log", "stop beating", "exit"]);
  assert.equal(types().at(-1), "drained");
});

test("each beat shows that the loop turns, and one is given when asked for", () => {
  const { host, heartbeats, beat } = hosting();
  beat();
  beat();
  assert.deepEqual([...heartbeats], [0, 2]);
  host.receive({ type: "beat" });
  assert.deepEqual([...heartbeats], [0, 3]);
});

test("log lines are sent as plain data: errors with their stack, nothing that cannot be cloned", () => {
  const { said, log } = hosting();
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  log()?.error({ err: new TypeError("no", { cause: new Error("why") }), act: () => {}, loop, n: 1 }, "failed");
  log()?.debug({}, "left out");
  const lines = said.filter((message) => message.type === "log");
  assert.equal(lines.length, 1);
  const fields = structuredClone(lines[0]?.fields) as Record<string, Record<string, unknown>>; // asserted below
  assert.deepEqual(Object.keys(fields), ["err", "loop", "n"]);
  assert.equal(fields["err"]?.["type"], "TypeError");
  assert.equal(fields["err"]["cause"], "why");
  assert.match(String(fields["err"]["stack"]), /worker-host\.test/);
});

test("what it remembers of requests is told as data that can be sent, under the number it was asked with", () => {
  const recent = new Recent(3);
  const lookedAt = new LookedAt();
  recent.note(requestOf({ target: "/a?b", host: "h" }), clientOf(), 7, lookedAt);
  const { host, said } = hosting({ recent: () => recent.tell(lookedAt) });
  host.receive({ type: "recent", id: 4 });
  const answer = structuredClone(said.at(-1));
  assert.ok(answer?.type === "recent" && answer.id === 4);
  assert.deepEqual(
    shapesOf([answer.recent]).map(({ atMs, target, host: name }) => [atMs, name, target]),
    [[7, "h", "/a?b"]],
  );
});

test("logs are reopened as told", () => {
  const { host, did } = hosting();
  host.receive({ type: "reopen-logs" });
  assert.deepEqual(did, ["reopen"]);
});
