import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { validateDocument } from "@headgate/schema";
import { parse } from "yaml";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { silentLog } from "../core/log.ts";
import { admin, resources, token } from "./admin.fixtures.ts";
import type { AdminEndpoint } from "./endpoint.ts";
import { AdminError } from "./problem.ts";
import { startAdmin } from "./server.ts";

test("readiness follows the phase, health does not", async (t) => {
  const { call, report } = await admin(t);
  const both = async (): Promise<number[]> => [(await call("/healthz")).status, (await call("/readyz")).status];
  assert.deepEqual(await both(), [200, 503]);
  report.serving();
  assert.deepEqual(await both(), [200, 200]);
  report.draining();
  assert.deepEqual(await both(), [200, 503]);
});

for (const [path, options, status] of [
  ["/healthz", {}, 200],
  ["/metrics", {}, 200],
  ["/v1/status", {}, 401],
  ["/v1/status", { headers: { authorization: "Bearer wrong" } }, 401],
  ["/v1/nothing", {}, 401],
  ["/", {}, 401],
  ["/v1/explain", { method: "POST" }, 401],
  ["/healthz", { headers: { host: "evil.example.com" } }, 403],
  ["/metrics", { headers: { host: "evil.example.com:9080" } }, 403],
  ["/metrics", { headers: { host: "localhost:9080" } }, 200],
  ["/healthz", { method: "DELETE" }, 405],
] as const) {
  test(`without a token ${JSON.stringify(options)} ${path} answers ${status}`, async (t) => {
    const { call } = await admin(t);
    const answer = await call(path, options);
    assert.equal(answer.status, status);
    if (status >= 400) assert.equal(answer.headers["content-type"], "application/problem+json");
    assert.equal(answer.headers["www-authenticate"] !== undefined, status === 401);
  });
}

test("with the token what is not there is 404, and a wrong method 405 with the right ones", async (t) => {
  const { trusted } = await admin(t);
  assert.equal((await trusted("/v1/nothing")).status, 404);
  const wrong = await trusted("/v1/explain");
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers["allow"], "POST");
  assert.equal((await trusted("/v1/status", { method: "POST", body: "{}" })).headers["allow"], "GET, HEAD");
  assert.equal((await trusted("/v1/routes/a", { method: "PATCH" })).headers["allow"], "GET, HEAD, PUT, DELETE");
  assert.match((await trusted("/v1/route/a")).text, /did you mean \\"\/v1\/routes\\"/);
});

test("HEAD answers as GET without a body", async (t) => {
  const { trusted } = await admin(t);
  for (const path of ["/healthz", "/v1/status", "/metrics"]) {
    const answer = await trusted(path, { method: "HEAD" });
    assert.equal(answer.status, 200);
    assert.equal(answer.text, "");
  }
});

test("the status tells what runs and what is wrong, with positions", async (t) => {
  const { trusted, report } = await admin(t);
  report.live(1, 0);
  report.judge("file", [{ severity: "error", path: "routes.a", message: "no", file: "f.yaml", line: 3, column: 5 }]);
  const status = (await trusted("/v1/status")).json();
  assert.deepEqual(status["problems"], report.problems);
  assert.equal(status["revision"], 1);
  assert.deepEqual(status["source"], { kind: "file", path: "/etc/headgate.yaml" });
  assert.equal(status["configSource"], "live");
  assert.deepEqual([status["node"], status["nodes"], status["store"]], [null, [], undefined]);
  assert.deepEqual(status["listening"], ["[::]:8080"]);
  assert.deepEqual(status["workers"], [{ id: 1, state: "running", revision: 1, restarts: 0, connections: 5 }]);
});

test("the live document is exported as YAML or JSON that validates to what is live", async (t) => {
  const { trusted, report } = await admin(t);
  assert.equal((await trusted("/v1/export")).status, 503);
  report.live(1, 0);
  const yaml = await trusted("/v1/export?secrets=true");
  assert.equal(yaml.headers["content-type"], "application/yaml; charset=utf-8");
  // What the loader would expand is escaped for it; what a middleware means is left alone.
  assert.match(yaml.text, /"?\$\$\{HOME\} \$\{client.ip\}/);
  const read: unknown = parse(yaml.text.replace("$${HOME}", "${HOME}"));
  assert.deepEqual(validateDocument(read).value?.resources, resources);
  const json = await trusted("/v1/export", { headers: { accept: "application/json" } });
  assert.equal(json.headers["content-type"], "application/json");
  assert.match(json.text, /"secret":"\[redacted\]"/);
  assert.equal((await trusted("/v1/export?format=xml")).status, 400);
});

test("a request is explained on what is live", async (t) => {
  const { trusted, report } = await admin(t);
  report.live(1, 0);
  const body = JSON.stringify({ method: "GET", url: "/a" });
  const answer = await trusted("/v1/explain", { method: "POST", body });
  assert.deepEqual(JSON.parse(answer.text), { asked: { method: "GET", url: "/a" } });
});

for (const [what, body, status] of [
  ["no JSON", "{", 400],
  ["more than the limit", JSON.stringify("a".repeat(1024 * 1024)), 413],
] as const) {
  test(`a body that is ${what} is refused with ${status}`, async (t) => {
    const { trusted, report } = await admin(t);
    report.live(1, 0);
    assert.equal((await trusted("/v1/explain", { method: "POST", body })).status, status);
  });
}

test("an endpoint that fails answers 500 without telling why, one that refuses tells", async (t) => {
  const failing = (path: string, error: Error): AdminEndpoint => ({
    method: "GET",
    path,
    access: "anyone",
    about: { summary: "Fails.", answers: {} },
    handle: () => Promise.reject(error),
  });
  const { call } = await admin(t, {}, [
    failing("/broken", new Error("the password is hush")),
    failing("/refused", new AdminError(400, "Say when.")),
  ]);
  const broken = await call("/broken");
  assert.equal(broken.status, 500);
  assert.doesNotMatch(broken.text, /hush/);
  assert.match((await call("/refused")).text, /Say when\./);
});

test("an address that is taken is told by name", async (t) => {
  const first = await startAdmin({ address: "127.0.0.1:0", token, endpoints: [], log: silentLog });
  t.after(() => first.close());
  await assert.rejects(startAdmin({ address: first.address, token, endpoints: [], log: silentLog }), /EADDRINUSE/);
});

test("the status tells of the store, the gateways on it and what waits for confirmation", async (t) => {
  const node = {
    id: "n1",
    self: true,
    version: "1.2.3",
    addresses: ["[::]:8080"],
    admin: "127.0.0.1:9080",
    revision: 7,
    rejected: [],
    source: "live" as const,
    startedAt: "2026-01-01T00:00:00.000Z",
  };
  const store = {
    kind: "etcd" as const,
    url: "etcd://127.0.0.1:2379/headgate/",
    connected: true,
    reason: "",
    revision: 7,
  };
  const confirmations = [{ change: "c1", before: "2026-01-01T00:01:00.000Z" }];
  const { trusted } = await admin(t, {
    source: undefined,
    store: () => ({ ...store, node: "n1", nodes: [node], confirmations }),
  });
  const status = (await trusted("/v1/status")).json();
  assert.deepEqual(status["source"], { kind: "store", store: store.url });
  assert.deepEqual([status["store"], status["node"]], [store, "n1"]);
  assert.deepEqual([status["nodes"], status["confirmations"]], [[node], confirmations]);
});

for (const [path, told] of [
  ["/v1/status?verbose=true", /has no parameter \\"verbose\\": it takes none/],
  ["/v1/export?secret=true", /did you mean \\"secrets\\"/],
  ["/v1/export?secrets=yes", /send secrets=true or secrets=false/],
  ["/v1/export?secrets=true&secrets=false", /given twice/],
] as const) {
  test(`a parameter that makes no sense is refused and not ignored: ${path}`, async (t) => {
    const { trusted, report } = await admin(t);
    report.live(1, 0);
    const answer = await trusted(path);
    assert.equal(answer.status, 400);
    assert.match(answer.text, told);
  });
}

test("probes may add parameters of their own", async (t) => {
  const { call } = await admin(t);
  assert.equal((await call("/healthz?from=probe")).status, 200);
});

test("who waits to be told to send a body is refused before it is sent", async (t) => {
  const { server } = await admin(t);
  const [host = "", port] = server.address.split(":");
  const socket = net.connect(Number(port), host);
  t.after(() => socket.destroy());
  let received = "";
  socket.setEncoding("latin1").on("data", (text: string) => (received += text));
  const head = (length: number): string =>
    `POST /v1/explain HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n` +
    `expect: 100-continue\r\ncontent-length: ${length}\r\n\r\n`;
  socket.write(head(2 * 1024 * 1024));
  await waitFor(() => received.includes("\r\n\r\n") && socket.destroyed, { what: "the refusal" });
  assert.match(received, /^HTTP\/1\.1 413 /);
  assert.match(received, /\r\nconnection: close\r\n/i);
});

test("who waits to be told to send a body that fits is told", async (t) => {
  const { server, report } = await admin(t);
  report.live(1, 0);
  const [host = "", port] = server.address.split(":");
  const socket = net.connect(Number(port), host);
  t.after(() => socket.destroy());
  let received = "";
  socket.setEncoding("latin1").on("data", (text: string) => (received += text));
  socket.write(`POST /v1/explain HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n`);
  socket.write("expect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  await waitFor(() => received.startsWith("HTTP/1.1 100 "), { what: "100" });
  socket.write("{}");
  await waitFor(() => received.includes("HTTP/1.1 200 "), { what: "the answer" });
});

test("whoever sends a body that nobody reads still gets the answer", async (t) => {
  const { call, trusted } = await admin(t);
  const body = Buffer.alloc(8 * 1024 * 1024, 0x20);
  assert.equal((await call("/v1/apply", { method: "POST", body })).status, 401);
  assert.equal((await trusted("/v1/explain", { method: "POST", body })).status, 413);
  assert.equal((await trusted("/v1/status", { method: "POST", body })).status, 405);
});
