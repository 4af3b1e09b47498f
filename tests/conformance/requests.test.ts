import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { RawClient, request, requestText } from "../kit/client.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { ManualScope } from "../kit/scope.ts";
import { answerAll, scriptedUpstream, type ScriptedUpstream } from "../kit/upstream.ts";
import { requestCorpus, type RequestCase } from "./request-corpus.ts";

const scope = new ManualScope();
let upstream: ScriptedUpstream;
let gateway: GatewayProcess;

before(async () => {
  upstream = await scriptedUpstream(scope, answerAll);
  gateway = await startGateway(scope, {
    document: {
      gateway: { timeouts: { requestHead: "2s", requestBodyIdle: "2s" } },
      routes: {
        all: { match: { path: "/*" }, to: "s" },
        guarded: { match: { path: "/admin/*" }, use: [{ "ip-restriction": { deny: ["0.0.0.0/0", "::/0"] } }], to: "s" },
      },
      services: { s: { instances: [{ address: upstream.address }] } },
    },
  });
});
after(() => scope.close());

async function play(t: test.TestContext, { send, statuses, closed, instance }: RequestCase): Promise<void> {
  const count = upstream.requests().length;
  const client = await RawClient.connect(t, gateway.port);
  client.send(send);
  for (const status of statuses) {
    const response = await client.response();
    assert.equal(response.status, status, response.text);
    if (status === 400) assert.equal((JSON.parse(response.text) as { code: string }).code, "HG_BAD_REQUEST");
  }
  if (closed) {
    await client.waitClosed();
    assert.equal(client.unread, "", "nothing is answered behind the refusal");
  } else {
    client.send(requestText("/after"));
    assert.equal((await client.response()).text, "GET /after ");
  }
  // A later request that has come back shows that whatever was sent on before has arrived.
  assert.equal((await request(t, gateway.port, "/barrier")).text, "GET /barrier ");
  const seen = upstream
    .requests()
    .slice(count)
    .map(({ method, target, body }) => `${method} ${target} ${body.toString("latin1")}`);
  const around = closed ? ["GET /barrier "] : ["GET /after ", "GET /barrier "];
  assert.deepEqual(seen, [...instance, ...around]);
}

for (const shape of requestCorpus) {
  test(shape.name, (t) => play(t, shape));
}

test("the shapes have different names", () => {
  assert.equal(new Set(requestCorpus.map(({ name }) => name)).size, requestCorpus.length);
});
