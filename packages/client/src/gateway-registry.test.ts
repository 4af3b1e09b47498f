import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test, type TestContext } from "node:test";
import { portOf } from "../../../tests/kit/ports.ts";
import { waitFor } from "../../../tests/kit/wait.ts";
import { createMeter, register, type RegisterOptions } from "./index.ts";

interface Asked {
  readonly line: string;
  readonly body: string;
}

/** The instances' endpoints of an admin API: what was asked, and answers as the test sets them. */
async function startGateway(t: TestContext) {
  const asked: Asked[] = [];
  const gateway = { asked, url: "", status: 200, healthStatus: 200, hangs: false };
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      asked.push({ line: `${request.method ?? ""} ${request.url ?? ""}`, body });
      if (gateway.hangs) return;
      const isHealth = request.url?.endsWith("/health") === true;
      const isKnown = request.headers.authorization === "Bearer secret";
      response.statusCode = isKnown ? (isHealth ? gateway.healthStatus : gateway.status) : 401;
      response.setHeader("content-type", "application/problem+json");
      response.end(response.statusCode < 300 ? "" : '{"title":"No","detail":"there is a reason"}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  gateway.url = `http://127.0.0.1:${portOf(server)}`;
  return gateway;
}

async function start(t: TestContext, gateway: { url: string }, more: Partial<RegisterOptions> = {}) {
  const said: string[] = [];
  const registration = await register({
    ...{ service: "users", address: "[::1]:3001", ttl: "1s", signals: false },
    to: { gateway: gateway.url, token: "secret\n" },
    log: (level, message) => said.push(`${level} ${message}`),
    ...more,
  });
  t.after(() => registration.end());
  return { registration, said };
}

const path = "/v1/instances/users/%5B::1%5D:3001";

test("an instance is put, put again every third of its time to live, drained and deleted", async (t) => {
  const gateway = await startGateway(t);
  const { registration } = await start(t, gateway, { weight: 2, zone: "a", version: "1.2.0", drainMs: 0 });
  assert.equal(registration.state, "registered");
  await waitFor(() => gateway.asked.length >= 3, { what: "two renewals" });
  const up = '{"ttl":"1000ms","status":"UP","weight":2,"zone":"a","version":"1.2.0"}';
  assert.deepEqual(new Set(gateway.asked.map(({ line, body }) => `${line} ${body}`)), new Set([`PUT ${path} ${up}`]));
  gateway.asked.length = 0;
  await registration.drain();
  assert.equal(gateway.asked.at(-1)?.line, `DELETE ${path}`);
});

test("draining is put before the instance is deleted", async (t) => {
  const gateway = await startGateway(t);
  const { registration } = await start(t, gateway, { ttl: "10s", inFlight: () => 0, noticeMs: 0 });
  gateway.asked.length = 0;
  await registration.drain();
  assert.deepEqual(gateway.asked, [
    { line: `PUT ${path}`, body: '{"ttl":"10000ms","status":"DRAINING"}' },
    { line: `DELETE ${path}`, body: "" },
  ]);
});

test("health reports are put beside the instance, and one that meets no instance has it put again", async (t) => {
  const gateway = await startGateway(t);
  // Requests that become slower and slower: there is something to report every time.
  let latencyMs = 1;
  const meter = { ...createMeter(), takeMeanMs: () => (latencyMs *= 2) };
  const { registration } = await start(t, gateway, { ttl: "1h", health: { intervalMs: 100 }, meter });
  const report = await waitFor(() => gateway.asked.find(({ line }) => line === `PUT ${path}/health`));
  assert.match(report.body, /^\{"serviceId":"users","instanceId":"\[::1\]:3001","status":"UP","metrics":\{"cpuUsage":/);
  gateway.healthStatus = 404;
  gateway.asked.length = 0;
  await waitFor(() => gateway.asked.some(({ line }) => line === `PUT ${path}`), {
    what: "the instance to be put again",
  });
  gateway.healthStatus = 200;
  await waitFor(() => registration.state === "registered");
});

const refusals: readonly [name: string, status: number, token: string, complaint: RegExp][] = [
  ["a wrong token", 200, "wrong", /refuses the token: give to.token what its admin-token file holds/],
  ["a refusal", 422, "secret", /refuses with status 422: there is a reason/],
  ["a gateway that cannot", 503, "secret", /answers with status 503: there is a reason/],
];

for (const [name, status, token, complaint] of refusals) {
  test(`${name} is told in one sentence and tried again`, async (t) => {
    const gateway = await startGateway(t);
    gateway.status = status;
    const { registration, said } = await start(t, gateway, { to: { gateway: gateway.url, token } });
    assert.equal(registration.state, "retrying");
    assert.match(said[0] ?? "", complaint);
    await waitFor(() => gateway.asked.length >= 3, { what: "more tries" });
    assert.equal(said.length, 1);
  });
}

test("a gateway that hangs is given up, and another one asked", async (t) => {
  const hanging = await startGateway(t);
  const gateway = await startGateway(t);
  hanging.hangs = true;
  const to = { gateway: [hanging.url, gateway.url], token: "secret" };
  const { registration } = await start(t, gateway, { to });
  assert.equal(registration.state, "registered");
  assert.equal(hanging.asked.length, 1);
  await waitFor(() => gateway.asked.length >= 3, { what: "renewals at the one that answered" });
  assert.equal(hanging.asked.length, 1);
});

test("a redirect is not followed: the token stays here", async (t) => {
  const other = await startGateway(t);
  const redirecting = createServer((_request, response) => response.writeHead(307, { location: other.url }).end());
  await new Promise<void>((resolve) => redirecting.listen(0, "127.0.0.1", resolve));
  t.after(() => redirecting.close());
  const { registration } = await start(t, { url: `http://127.0.0.1:${portOf(redirecting)}` });
  assert.equal(registration.state, "retrying");
  assert.deepEqual(other.asked, []);
});
