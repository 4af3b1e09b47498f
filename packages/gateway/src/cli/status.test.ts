import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "./cli.fixtures.ts";
import { gatewayNode, status } from "./status.fixtures.ts";

test("status says what runs, where, and what is wrong, and ends in 0", async (t) => {
  const answer = {
    ...status,
    problems: [
      {
        severity: "error",
        path: "routes.a.to",
        message: "there is no service",
        hint: "did you mean x?",
        key: "/headgate/routes/a",
        revision: 41,
      },
    ],
    nodes: [
      gatewayNode("gw0", {
        revision: 41,
        rejected: [{ kind: "routes", name: "a", key: "/headgate/routes/a", revision: 41, message: "no" }],
      }),
      gatewayNode("gw1", { self: true }),
    ],
    health: {
      ...{ instances: 1_204, up: 1_101, more: 102 },
      notUp: [
        {
          ...{ service: "users", address: "a:1", state: "ejected", reason: "5 failures in a row" },
          ...{ since: "2026-01-02T03:04:00.000Z", until: "2026-01-02T03:04:30.000Z" },
        },
      ],
    },
    confirmations: [{ change: "c1", before: "2026-01-02T03:05:00.000Z" }],
  };
  const { code, out } = await run(t, { "GET /v1/status": [200, answer] }, ["status"]);
  assert.equal(code, 0);
  assert.deepEqual(out.split("\n"), [
    "Gateway gw1: serving for 2h 3m (Headgate 1.2.3, Node v24.0.0, pid 42)",
    "  listens on  0.0.0.0:8080",
    "  admin       127.0.0.1:9080",
    "  source      etcd://127.0.0.1:2379/headgate/ (connected)",
    "  revision    42, live for 7s",
    "  workers     2 running, 1 starting, 3 replaced",
    "  instances   1,204, 1,101 up",
    "",
    "GATEWAY  REVISION  SOURCE  REJECTED  VERSION  ADMIN           LISTENS ON",
    "gw1      42        live    0         1.2.3    127.0.0.1:9080  0.0.0.0:8080",
    "gw0      41        live    1         1.2.3    127.0.0.1:9080  0.0.0.0:8080",
    "",
    "SERVICE  NOT UP  STATE    WHY",
    "users    a:1     ejected  5 failures in a row, until 03:04:30Z",
    "and 102 more: headgate instances",
    "",
    "Problems:",
    "  /headgate/routes/a (revision 41): routes.a.to: there is no service",
    "      did you mean x?",
    "  gw0 rejects routes/a (revision 41): no",
    "",
    "Change c1 takes itself back at 2026-01-02 03:05:00Z unless you keep it: headgate confirm c1",
    "",
  ]);
});

test("status of a gateway without a store names its file; one that runs what it saved says so", async (t) => {
  const { store: _, ...rest } = status;
  const ofFile = { ...rest, node: null, nodes: [], source: { kind: "file", path: "/etc/headgate.yaml" } };
  const { out } = await run(t, { "GET /v1/status": [200, ofFile] }, ["status"]);
  assert.match(out, /^Gateway: serving/);
  assert.match(out, /\n {2}source {6}\/etc\/headgate\.yaml\n/);
  const away = { ...status.store, connected: false, reason: "No connection." };
  const cached = { ...status, store: away, configSource: "cache", configAgeSeconds: 90_000, nodes: [] };
  const saved = await run(t, { "GET /v1/status": [200, cached] }, ["status"]);
  assert.match(
    saved.out,
    /\(not connected: No connection\.\)\n {2}revision {4}42, as it was saved 1d 1h ago: the store has not answered/,
  );
});

test("status -o json is the gateway's answer", async (t) => {
  const { out } = await run(t, { "GET /v1/status": [200, status] }, ["status", "-o", "json"]);
  assert.deepEqual(JSON.parse(out), status);
});

test("colours are for terminals, and NO_COLOR switches them off", async (t) => {
  const screen = { columns: () => 80, rows: () => 24 };
  const answers = { "GET /v1/status": [200, status] } as const;
  assert.match((await run(t, answers, ["status"], { screen })).out, /\u001b\[32mserving\u001b\[0m/);
  assert.doesNotMatch((await run(t, answers, ["status"], { screen, env: { NO_COLOR: "1" } })).out, /\u001b/);
  assert.doesNotMatch((await run(t, answers, ["status"])).out, /\u001b/);
});
