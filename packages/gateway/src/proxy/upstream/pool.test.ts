import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { GatewayError } from "../../core/errors.ts";
import { Wheel } from "../../core/wheel.ts";
import { Metrics } from "../../telemetry/metrics.ts";
import type { UpstreamConnection } from "./connection.ts";
import { Instance } from "./instance.ts";
import { instanceBytes } from "./memory.ts";

async function setup(t: TestContext, max: number) {
  let now = 0;
  const clock = { now: () => now, wall: () => 0 };
  const wheel = new Wheel(0, 50);
  const accepted: net.Socket[] = [];
  const server = net.createServer((socket) => accepted.push(socket.on("error", () => {}))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo; // listens on TCP
  const limits = { max, idleMs: 60_000, connectMs: 2_000 };
  const gauges = { active: 0, idle: 0 };
  class WatchedMetrics extends Metrics {
    override gauge(_: string, { state }: Readonly<Record<string, string>> = {}): ReturnType<Metrics["gauge"]> {
      const add = (amount: number): void => void (gauges[state === "idle" ? "idle" : "active"] += amount);
      return { add } as ReturnType<Metrics["gauge"]>; // what the pool uses of it
    }
  }
  const instance = new Instance("s", `127.0.0.1:${port}`, new SharedArrayBuffer(instanceBytes(1)), limits, {
    clock,
    wheel,
    metrics: new WatchedMetrics(() => {}),
    random: () => 0,
    workers: 1,
    workerId: 1,
    zone: undefined,
    onEvent() {},
  });
  t.after(() => {
    instance.pool.close();
    for (const socket of accepted) socket.destroy();
    server.close();
  });
  const ask = () => {
    const events: (UpstreamConnection | GatewayError)[] = [];
    const ended = Promise.withResolvers<UpstreamConnection | GatewayError>();
    const tell = (event: UpstreamConnection | GatewayError): void => {
      events.push(event);
      ended.resolve(event);
    };
    const pending = instance.pool.request({ onConnection: tell, onFailure: tell });
    return { events, ended: ended.promise, pending };
  };
  const pass = (ms: number): void => {
    for (const until = now + ms; now < until;) wheel.advance((now += 50));
  };
  return { instance, accepted, ask, pass, gauges, now: () => now };
}

test("at the maximum a request waits, takes over the next free connection, and is told once", async (t) => {
  const { ask, pass, now } = await setup(t, 1);
  const first = (await ask().ended) as UpstreamConnection; // there is room for one
  const second = ask();
  first.release(true, -1, now());
  assert.equal(await second.ended, first);
  // The limit of its wait has been called off.
  pass(10_000);
  assert.deepEqual(second.events, [first]);
});

test("a wait ends at the connect timeout with HG_OVERLOADED, and a full queue refuses at once", async (t) => {
  const { ask, pass } = await setup(t, 1);
  await ask().ended;
  const waiting = Array.from({ length: 4 }, ask);
  assert.equal(((await ask().ended) as GatewayError).code, "HG_OVERLOADED");
  pass(2_100);
  for (const { ended } of waiting) assert.equal(((await ended) as GatewayError).code, "HG_OVERLOADED");
});

test("a cancelled wait gets nothing, and the connection goes to the one behind it", async (t) => {
  const { ask, now } = await setup(t, 1);
  const first = (await ask().ended) as UpstreamConnection; // there is room for one
  const cancelled = ask();
  const behind = ask();
  cancelled.pending?.cancel();
  first.release(true, -1, now());
  assert.equal(await behind.ended, first);
  assert.deepEqual(cancelled.events, []);
});

test("a connection that was not given back makes room for the next", async (t) => {
  const { ask } = await setup(t, 1);
  const first = (await ask().ended) as UpstreamConnection; // there is room for one
  const second = ask();
  first.release(false, 0, 0);
  assert.notEqual(await second.ended, first);
});

test("a wait that is cancelled while a connection is being opened for it gets nothing", async (t) => {
  const { instance, accepted, ask } = await setup(t, 1);
  const first = (await ask().ended) as UpstreamConnection; // there is room for one
  const second = ask();
  const closed = once(first.socket, "close");
  first.release(false, 0, 0);
  await closed;
  second.pending?.cancel();
  while (accepted.length < 2) await new Promise((resolve) => setImmediate(resolve));
  let idle: UpstreamConnection | undefined;
  while (idle === undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    idle = instance.pool.takeIdle();
  }
  assert.deepEqual(second.events, []);
});

test("idle connections are closed after the idle limit, and earlier where the instance announces less", async (t) => {
  const { instance, ask, pass, now } = await setup(t, 4);
  const [a, b] = (await Promise.all([ask().ended, ask().ended])) as [UpstreamConnection, UpstreamConnection]; // there is room
  a.release(true, 5_000, now());
  b.release(true, -1, now());
  pass(4_100);
  assert.equal(a.usable, false);
  assert.equal(b.usable, true);
  assert.equal(instance.pool.takeIdle(), b);
});

test("an idle connection that the instance closes, or on which it talks, is not used again", async (t) => {
  const { instance, accepted, ask, now } = await setup(t, 4);
  const connection = (await ask().ended) as UpstreamConnection; // there is room
  connection.release(true, -1, now());
  const closed = once(connection.socket, "close");
  accepted[0]?.write("HTTP/1.1 408 Request Timeout\r\n\r\n");
  await closed;
  assert.equal(instance.pool.takeIdle(), undefined);
  assert.equal(instance.pool.open, 0);
});

test("the gauges return to zero also where an idle connection is asked for while it closes", async (t) => {
  const { instance, ask, now, gauges } = await setup(t, 4);
  const connection = (await ask().ended) as UpstreamConnection; // there is room
  connection.release(true, -1, now());
  assert.deepEqual(gauges, { active: 0, idle: 1 });
  connection.destroy();
  assert.equal(instance.pool.takeIdle(), undefined);
  await once(connection.socket, "close");
  assert.deepEqual(gauges, { active: 0, idle: 0 });
});

test("a connection whose request was called off serves the next, and not after the instance talked on it", async (t) => {
  const { instance, accepted, ask } = await setup(t, 4);
  const opened = async (): Promise<UpstreamConnection> => {
    const before = accepted.length;
    ask().pending?.cancel();
    for (;;) {
      const idle = accepted.length > before ? instance.pool.takeIdle() : undefined;
      if (idle !== undefined) return idle;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const connection = await opened();
  connection.release(true, -1, 0);
  const again = instance.pool.takeIdle();
  assert.equal(again, connection);
  connection.destroy();
  await once(connection.socket, "close");
  // Left idle by the pool itself, not by a request.
  ask().pending?.cancel();
  while (instance.pool.open !== 1 || accepted.length < 2) await new Promise((resolve) => setImmediate(resolve));
  accepted[1]?.write("HTTP/1.1 408 Request Timeout\r\n\r\n");
  for (let i = 0; i < 1_000 && instance.pool.open > 0; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(instance.pool.open, 0);
});
