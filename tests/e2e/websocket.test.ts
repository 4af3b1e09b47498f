import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import test, { after, before } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { RawClient, requestText } from "../kit/client.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { portOf } from "../kit/ports.ts";
import { ManualScope } from "../kit/scope.ts";
import { scriptedUpstream } from "../kit/upstream.ts";
import { waitFor, within } from "../kit/wait.ts";

const scope = new ManualScope();
let gateway: GatewayProcess;
let closes: { code: number; reason: string }[];

/** Echoes messages; refuses upgrades below /refuse/N with that status; answers what is no upgrade with its URL. */
async function webSocketServer(): Promise<string> {
  const server = http.createServer((request, response) => response.end(request.url));
  const sockets = new WebSocketServer({ noServer: true });
  closes = [];
  server.on("upgrade", (request, socket, head) => {
    const status = /^\/refuse\/(\d+)$/.exec(request.url ?? "")?.[1];
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 7\r\nX-From: upstream\r\n\r\nrefused`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.send(`hello ${request.url ?? ""} ${String(request.headers["x-added"])}`);
      webSocket.on("message", (data, isBinary) => webSocket.send(data, { binary: isBinary }));
      webSocket.on("close", (code, reason) => closes.push({ code, reason: reason.toString() }));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scope.after(() => {
    for (const client of sockets.clients) client.terminate();
    server.close();
    server.closeAllConnections();
  });
  return `127.0.0.1:${portOf(server)}`;
}

before(async () => {
  const address = await webSocketServer();
  const document = simpleDocument(address, {
    routes: {
      all: { match: { path: "/*" }, to: "s" },
      chained: {
        match: { path: "/chained/*" },
        use: [
          "request-id",
          { headers: { request: { set: { "x-added": "by-the-gateway" } } } },
          { "strip-prefix": "/chained" },
        ],
        to: "s",
      },
    },
  });
  gateway = await startGateway(scope, { document, workers: 2 });
});
after(() => scope.close());

async function message(socket: WebSocket): Promise<{ data: Buffer; isBinary: boolean }> {
  const [data, isBinary] = (await within(once(socket, "message"), "a WebSocket message")) as [Buffer, boolean]; // ws' event
  return { data, isBinary };
}

test("text and binary messages come back, small and large", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/echo`);
  assert.equal((await message(socket)).data.toString(), "hello /echo undefined");
  for (const data of ["text", "ü".repeat(1000), "x".repeat(300_000)]) {
    socket.send(data);
    assert.equal((await message(socket)).data.toString(), data);
  }
  socket.send(Buffer.from([0, 1, 255]));
  assert.deepEqual(await message(socket), { data: Buffer.from([0, 1, 255]), isBinary: true });
  const closed = once(socket, "close") as Promise<[number, Buffer]>; // ws' event
  socket.close(4321, "enough");
  assert.equal((await within(closed, "the close"))[0], 4321);
  await waitFor(() => closes.some(({ code }) => code === 4321), { what: "the instance to see the close" });
  assert.deepEqual(closes.at(-1), { code: 4321, reason: "enough" });
});

test("middlewares act on the request that asks for the upgrade", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/chained/echo`);
  assert.equal((await message(socket)).data.toString(), "hello /echo by-the-gateway");
  socket.terminate();
});

for (const status of [400, 403, 426]) {
  test(`the instance's ${status} to an upgrade reaches the client`, async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/refuse/${status}`);
    socket.on("error", () => undefined);
    const refused = once(socket, "unexpected-response") as Promise<[unknown, http.IncomingMessage]>; // ws' event
    const [, response] = await within(refused, "the refusal");
    assert.equal(response.statusCode, status);
    assert.equal(response.headers["x-from"], "upstream");
    response.destroy();
    socket.terminate();
  });
}

test("a client that goes away ends the instance's side", async () => {
  const count = closes.length;
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/echo`);
  await message(socket);
  socket.terminate();
  await waitFor(() => closes.length > count, { what: "the instance to see the end" });
});

test("bytes sent along with the upgrade and its answer are not lost", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.head();
    connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nserver-early");
    await connection.until("client-early");
    connection.send(" got-it");
  });
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send(`${requestText("/", { headers: { connection: "Upgrade", upgrade: "raw" } })}client-early`);
  const response = await client.response();
  assert.equal(response.status, 101);
  assert.equal(response.get("upgrade"), "raw");
  assert.equal(await client.until("got-it"), "server-early got-it");
});

test("each direction of an upgraded connection can end by itself", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.head();
    connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n");
    await connection.until("last words");
    await connection.closed;
    connection.send("answer after their end");
    connection.end();
  });
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send(requestText("/", { headers: { connection: "Upgrade", upgrade: "raw" } }));
  assert.equal((await client.response()).status, 101);
  client.send("last words");
  client.end();
  await client.until("answer after their end");
});

test("what is no upgrade answers on the same service", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/plain"));
  assert.equal((await client.response()).text, "/plain");
});
