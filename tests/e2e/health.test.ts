import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { compileCache } from "../kit/command.ts";
import { runHeadgate, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { portOf } from "../kit/ports.ts";
import { newestFirst, type Scope } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";

/** An instance whose health the test decides: what it answers to checks, and to all else. */
async function instance(scope: Scope) {
  const state = { status: 200, answer: 200, checks: 0, address: "" };
  const server = createServer((request, response) => {
    if (request.url === "/healthz") state.checks++;
    response.statusCode = request.url === "/healthz" ? state.status : state.answer;
    response.end(state.address);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  state.address = `127.0.0.1:${portOf(server)}`;
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return state;
}

interface Shown {
  readonly address: string;
  readonly state: string;
  readonly reason?: string;
}

async function shown(gateway: GatewayProcess): Promise<readonly Shown[]> {
  const response = await gateway.admin("/v1/instances/s");
  const { instances } = (await response.json()) as { instances: readonly Shown[] }; // the admin API's
  return instances;
}

async function untilState(gateway: GatewayProcess, address: string, wanted: string): Promise<Shown> {
  let last: readonly Shown[] = [];
  return waitFor(
    async () => {
      last = await shown(gateway);
      return last.find((one) => one.address === address && one.state === wanted);
    },
    { what: () => `${address} to be ${wanted}: ${JSON.stringify(last)}; log: ${gateway.logs.stderr.slice(-2_000)}` },
  );
}

/** Who answers so many requests, each over a connection of its own so that all workers take part. */
async function answering(gateway: GatewayProcess, count = 40): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let n = 0; n < count; n++) {
    const response = await fetch(`${gateway.url}/`, { headers: { connection: "close" } });
    const who = response.status === 200 ? await response.text() : `${response.status}`;
    counts.set(who, (counts.get(who) ?? 0) + 1);
  }
  return counts;
}

/** What `GET /v1/events` tells from now on. */
async function listen(scope: Scope, gateway: GatewayProcess): Promise<() => string> {
  const abort = new AbortController();
  scope.after(() => abort.abort());
  const response = await gateway.admin("/v1/events", { signal: abort.signal });
  let told = "";
  void (async () => {
    for await (const chunk of response.body ?? []) told += Buffer.from(chunk).toString();
  })().catch(() => undefined);
  return () => told;
}

test("one prober for all workers finds an instance that is sick, says why, and finds it well again", async (t) => {
  const scope = newestFirst(t);
  const [a, b] = [await instance(scope), await instance(scope)];
  const healthCheck = { path: "/healthz", interval: "200ms", timeout: "150ms" };
  const instances = [{ address: a.address }, { address: b.address }];
  const service = { instances, healthCheck, balance: "round-robin" };
  const startedMs = performance.now();
  const gateway = await startGateway(scope, {
    document: { routes: { all: { match: { path: "/*" }, to: "s" } }, services: { s: service } },
    workers: 2,
    env: compileCache,
  });
  await untilState(gateway, a.address, "up");
  // The first check alone would decide.
  await waitFor(() => a.checks > 1 && b.checks > 1, { what: "the first checks" });
  const told = await listen(scope, gateway);
  a.status = 503;
  const sick = await untilState(gateway, a.address, "unhealthy");
  assert.match(sick.reason ?? "", /^\d+ checks failed: GET \/healthz answered 503$/);
  assert.equal((await shown(gateway)).find(({ address }) => address === b.address)?.state, "up");
  assert.match(gateway.logs.stderr, new RegExp(`instance ${a.address} of s is unhealthy: 3 checks failed`));
  assert.deepEqual([...(await answering(gateway)).keys()], [b.address]);
  a.status = 200;
  await untilState(gateway, a.address, "up");
  assert.equal((await answering(gateway)).size, 2);
  await waitFor(() => /event: instance\ndata: .*"state":"up","before":"unhealthy"/.test(told()), { what: told });
  assert.match(told(), /event: instance\ndata: .*"state":"unhealthy","before":"up","reason":"3 checks failed/);
  // Two probers would have asked twice as often as the interval, at its shortest, allows.
  const most = (performance.now() - startedMs) / (200 * 0.9) + 1;
  assert.ok(
    a.checks <= most && b.checks <= most,
    `${a.checks} and ${b.checks} checks, at most ${most} from one prober`,
  );
});

test("an operator takes an instance out with one command, in all workers at once, and a whole service", async (t) => {
  const scope = newestFirst(t);
  const [a, b] = [await instance(scope), await instance(scope)];
  const service = { instances: [{ address: a.address }, { address: b.address }], balance: "round-robin" };
  const gateway = await startGateway(scope, {
    document: { routes: { all: { match: { path: "/*" }, to: "s" } }, services: { s: service } },
    workers: 2,
    env: compileCache,
  });
  const told = await listen(scope, gateway);
  const circuit = async (...args: string[]): Promise<string> => {
    const env = { ...compileCache, HEADGATE_ADMIN: `127.0.0.1:${gateway.adminPort}`, USER: "ann" };
    const { code, stdout, stderr } = await runHeadgate(["circuit", ...args], { cwd: gateway.directory, env });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.equal((await answering(gateway)).size, 2);
  assert.match(await circuit("s", a.address, "open"), /open, held/);
  assert.deepEqual([...(await answering(gateway)).keys()], [b.address]);
  assert.match((await untilState(gateway, a.address, "open")).reason ?? "", /^held open by \S+$/);
  assert.equal(await gateway.metric("headgate_circuit_state", { service: "s", instance: a.address }), 2);
  assert.equal(await gateway.metric("headgate_instance_up", { service: "s" }), 1);
  const route = await gateway.admin("/v1/explain", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"method":"GET","url":"/"}',
  });
  const { destinations } = (await route.json()) as { destinations: { instances: Shown[] }[] }; // the admin API's
  assert.equal(destinations[0]?.instances.find(({ address }) => address === a.address)?.state, "open");
  await circuit("s", a.address, "auto");
  await waitFor(async () => (await answering(gateway)).size === 2, { what: "both instances to answer" });

  await circuit("s", "open");
  assert.deepEqual([...(await answering(gateway, 10)).keys()], ["503"]);
  await circuit("s", "auto");
  await waitFor(async () => !(await answering(gateway, 10)).has("503"), { what: "the service to answer" });
  await waitFor(() => /event: breaker\ndata: \{"service":"s","state":"open"/.test(told()), { what: told });
  assert.match(
    told(),
    new RegExp(`event: breaker\ndata: .*"instance":"${a.address}","state":"open","before":"closed"`),
  );
});

test("what workers find out of an instance that fails is shown, told and measured", async (t) => {
  const scope = newestFirst(t);
  const [a, b, c] = [await instance(scope), await instance(scope), await instance(scope)];
  const service = {
    instances: [a, b, c].map(({ address }) => ({ address })),
    circuitBreaker: { consecutive: 3, open: "10m", minRequests: 1_000 },
    outlierDetection: false,
    balance: "round-robin",
  };
  const gateway = await startGateway(scope, {
    document: { routes: { all: { match: { path: "/*" }, to: "s" } }, services: { s: service } },
    workers: 2,
    env: compileCache,
  });
  const told = await listen(scope, gateway);
  a.answer = 500;
  await waitFor(async () => (await answering(gateway, 20)).get("500") === undefined, { what: "the breaker to open" });
  const shown = await untilState(gateway, a.address, "open");
  assert.equal(shown.reason, "3 failures in a row");
  assert.equal(await gateway.metric("headgate_circuit_state", { instance: a.address }), 2);
  await waitFor(() => told().includes("event: breaker"), { what: told });
  assert.match(told(), /event: breaker\ndata: .*"state":"open","before":"closed","reason":"3 failures in a row"/);
  assert.match(gateway.logs.stderr, new RegExp(`circuit breaker of ${a.address} of s is open: 3 failures in a row`));
});
