import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { RawClient, requestText } from "../kit/client.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { ManualScope } from "../kit/scope.ts";
import { answerAll, scriptedUpstream, type UpstreamConnection } from "../kit/upstream.ts";
import { deferred } from "../kit/wait.ts";
import { responseCorpus, type ResponseCase } from "./response-corpus.ts";

const scope = new ManualScope();
let gateway: GatewayProcess;
let current: ResponseCase | undefined;
let clientSawHead = deferred();

/** `/lie` is answered as the current case says, everything else honestly. */
async function script(connection: UpstreamConnection): Promise<void> {
  for (;;) {
    const { method, target } = await connection.request();
    if (target !== "/lie" || current === undefined) {
      connection.ok(`${method} ${target}`);
      continue;
    }
    connection.send(current.answer);
    if (current.later !== undefined) {
      await clientSawHead.promise;
      connection.send(current.later);
    }
    if (current.closes === true) connection.end();
  }
}

before(async () => {
  const upstream = await scriptedUpstream(scope, script);
  const services = {
    s: {
      instances: [{ address: upstream.address }],
      retry: { attempts: 0, on: [] },
      timeouts: { firstByte: "5s", idle: "5s" },
    },
  };
  gateway = await startGateway(scope, { document: simpleDocument(upstream.address, { services }) });
});
after(() => scope.close());

async function play(t: test.TestContext, { method = "GET", client: expected, body }: ResponseCase): Promise<void> {
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/lie", { method }));
  if (expected === "cut") {
    await client.until("half");
    clientSawHead.resolve();
    await client.waitClosed();
    await assert.rejects(client.response(), /closed before a whole response|not a valid/);
    return;
  }
  const response = await client.finalResponse(method);
  assert.equal(response.status, expected, response.text);
  if (expected === 502)
    assert.match((JSON.parse(response.text) as { code: string }).code, /^HG_UPSTREAM_(PROTOCOL|RESET)$/);
  if (body !== undefined) assert.equal(response.text, body);
}

for (const lie of responseCorpus) {
  test(`${lie.name}: the client sees ${lie.client}, and the next request gets its own answer`, async (t) => {
    current = lie;
    clientSawHead = deferred();
    await play(t, lie);
    for (const target of ["/next", "/and-the-next"]) {
      const client = await RawClient.connect(t, gateway.port);
      client.send(requestText(target));
      assert.equal((await client.response()).text, `GET ${target}`);
    }
  });
}

test("an answer nobody asked for, sent while the connection idles, reaches nobody", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection, index) => {
    if (index > 0) return answerAll(connection);
    await connection.request();
    connection.ok("first");
    await idle.promise;
    connection.ok("unasked");
    await connection.waitClosed();
  });
  const idle = deferred();
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send(requestText("/1"));
  assert.equal((await client.response()).text, "first");
  idle.resolve();
  await upstream.connections[0]?.waitClosed();
  client.send(requestText("/2"));
  assert.equal((await client.response()).text, "GET /2 ");
});
