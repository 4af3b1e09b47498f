import assert from "node:assert/strict";
import net from "node:net";
import test from "node:test";
import { RawClient, request, requestText } from "../kit/client.ts";
import { echoUpstream } from "../kit/echo.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { waitFor } from "../kit/wait.ts";

function refusesConnections(gateway: GatewayProcess): Promise<boolean> {
  return waitFor(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = net.connect(gateway.port, "127.0.0.1");
        socket.on("connect", () => {
          socket.destroy();
          resolve(false);
        });
        socket.on("error", () => resolve(true));
      }),
    { what: "the gateway to stop accepting" },
  );
}

test("SIGTERM lets requests in flight finish, tells their clients to close, and ends with 0", async (t) => {
  const echo = await echoUpstream(t);
  const gateway = await startGateway(t, { document: simpleDocument(echo.address), workers: 2 });
  const [idle, busy] = [await RawClient.connect(t, gateway.port), await RawClient.connect(t, gateway.port)];
  idle.send(requestText("/"));
  assert.equal((await idle.response()).status, 200);
  busy.send(requestText("/slow"));
  await echo.arrived(2);
  gateway.signal("SIGTERM");
  await refusesConnections(gateway);
  assert.equal(await idle.waitClosed(), "end");
  assert.ok(gateway.running);
  await echo.release();
  const answer = await busy.response();
  assert.equal(answer.status, 200);
  assert.equal(answer.get("connection")?.toLowerCase(), "close");
  assert.equal(await busy.waitClosed(), "end");
  assert.deepEqual(await gateway.exited, { code: 0, signal: null });
});

test("a drain ends at its limit though a client never takes its answer", async (t) => {
  const echo = await echoUpstream(t);
  const document = simpleDocument(echo.address, { gateway: { timeouts: { drain: "200ms" } } });
  const gateway = await startGateway(t, { document });
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/slow"));
  await echo.arrived(1);
  const { code } = await gateway.stop();
  assert.equal(code, 0);
  await echo.aborts(1);
});

test("a second SIGTERM ends at once", async (t) => {
  const echo = await echoUpstream(t);
  const gateway = await startGateway(t, { document: simpleDocument(echo.address) });
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/slow"));
  await echo.arrived(1);
  gateway.signal("SIGTERM");
  await refusesConnections(gateway);
  gateway.signal("SIGTERM");
  await gateway.exited;
  await client.waitClosed();
});

test("while it drains the gateway is alive but not ready", async (t) => {
  const echo = await echoUpstream(t);
  const gateway = await startGateway(t, { document: simpleDocument(echo.address) });
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/slow"));
  await echo.arrived(1);
  gateway.signal("SIGTERM");
  await waitFor(async () => (await fetch(`${gateway.adminUrl}/readyz`)).status === 503, { what: "readyz to say 503" });
  assert.equal((await fetch(`${gateway.adminUrl}/healthz`)).status, 200);
  await echo.release();
  assert.equal((await client.response()).status, 200);
  assert.equal((await gateway.exited).code, 0);
});

/** A user's middleware with the worst of bugs: an error outside of every promise the gateway holds. */
const crasher = `
import { defineMiddleware } from "headgate";
import { z } from "zod";
export default defineMiddleware({
  name: "crasher",
  config: z.strictObject({}),
  build: () => () => new Promise(() => setImmediate(() => { throw new Error("crashed on purpose"); })),
});
`;

test("a worker that dies is replaced, and the others serve on", async (t) => {
  const echo = await echoUpstream(t);
  const gateway = await startGateway(t, {
    document: simpleDocument(echo.address, {
      plugins: { crasher: "./crasher.ts" },
      routes: {
        all: { match: { path: "/*" }, to: "s" },
        crash: { match: { path: "/crash" }, use: ["crasher"], to: "s" },
      },
    }),
    files: { "crasher.ts": crasher },
    workers: 2,
  });
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/crash"));
  await client.waitClosed();
  await waitFor(async () => (await gateway.metric("headgate_worker_restarts_total")) === 1, {
    what: "the restart to be counted",
  });
  const { revision } = await gateway.status();
  await waitFor(
    async () => {
      const { workers } = await gateway.status();
      return workers.length === 2 && workers.every((worker) => worker.revision === revision);
    },
    { what: "two workers to run the live revision" },
  );
  for (let i = 0; i < 10; i++) assert.equal((await request(t, gateway.port, "/")).status, 200);
  assert.equal((await gateway.stop()).code, 0);
});

test("what the dead worker counted stays counted", async (t) => {
  const echo = await echoUpstream(t);
  const gateway = await startGateway(t, {
    document: simpleDocument(echo.address, {
      plugins: { crasher: "./crasher.ts" },
      routes: {
        all: { match: { path: "/*" }, to: "s" },
        crash: { match: { path: "/crash" }, use: ["crasher"], to: "s" },
      },
    }),
    files: { "crasher.ts": crasher },
  });
  for (let i = 0; i < 5; i++) assert.equal((await request(t, gateway.port, "/")).status, 200);
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/crash"));
  await client.waitClosed();
  await waitFor(async () => (await request(t, gateway.port, "/").catch(() => undefined))?.status === 200, {
    what: "the new worker",
  });
  assert.ok((await gateway.metric("headgate_requests_total", { route: "all", status: "200" })) >= 6);
});
