import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { compileCache } from "../kit/command.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { portOf } from "../kit/ports.ts";
import { newestFirst, type Scope } from "../kit/scope.ts";
import { waitFor } from "../kit/wait.ts";

/** An instance whose health the test decides. */
async function instance(scope: Scope) {
  const state = { status: 200, checks: 0, address: "" };
  const server = createServer((request, response) => {
    if (request.url === "/healthz") state.checks++;
    response.statusCode = request.url === "/healthz" ? state.status : 200;
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
  const service = { instances: [{ address: a.address }, { address: b.address }], healthCheck };
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
  a.status = 200;
  await untilState(gateway, a.address, "up");
  await waitFor(() => /event: instance\ndata: .*"state":"up","before":"unhealthy"/.test(told()), { what: told });
  assert.match(told(), /event: instance\ndata: .*"state":"unhealthy","before":"up","reason":"3 checks failed/);
  // Two probers would have asked twice as often as the interval, at its shortest, allows.
  const most = (performance.now() - startedMs) / (200 * 0.9) + 1;
  assert.ok(
    a.checks <= most && b.checks <= most,
    `${a.checks} and ${b.checks} checks, at most ${most} from one prober`,
  );
});
