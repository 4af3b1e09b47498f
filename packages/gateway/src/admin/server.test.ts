import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { test, type TestContext } from "node:test";
import { validateDocument } from "@headgate/schema";
import { parse } from "yaml";
import { Report } from "../control/report.ts";
import { silentLog } from "../core/log.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { adminEndpoints, type AdminParts } from "./endpoints.ts";
import { AdminError, startAdmin, type AdminEndpoint } from "./server.ts";

const token = "0123456789abcdef0123456789abcdef";
const { value } = validateDocument({
  services: { s: { instances: [{ address: "127.0.0.1:3000" }] } },
  routes: { a: { match: { path: "/a" }, use: [{ jwt: { secret: "hush-hush-hush" } }], to: "s" } },
  global: [{ headers: { request: { set: { "x-a": "${HOME} ${client.ip}" } } } }],
});
assert.ok(value);
const { gateway, resources } = value;

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

async function admin(t: TestContext, extra: readonly AdminEndpoint[] = []) {
  const page = new MetricsPage();
  const source = page.attach("control");
  const metrics = new Metrics((news) => source.accept(news));
  const report = new Report({ now: () => 0, wall: () => 0 }, metrics);
  const parts: AdminParts = {
    version: "1.2.3",
    node: "v24.0.0",
    pid: 42,
    source: "/etc/headgate.yaml",
    settings: gateway,
    report,
    page,
    resources: () => (report.revision === 0 ? undefined : resources),
    workers: () => [{ id: 1, state: "running", revision: 1, restarts: 0, connections: 5 }],
    addresses: () => [{ address: "[::]:8080", port: 8080 }],
    adminAddress: () => "127.0.0.1:9080",
    explain: (asked) => ({ asked }),
    breathe: () => Promise.resolve(),
  };
  const endpoints = [...adminEndpoints(parts), ...extra];
  const server = await startAdmin({ address: "127.0.0.1:0", token, endpoints, log: silentLog });
  t.after(() => server.close());
  const call = (path: string, { method = "GET", headers = {}, body }: Call = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = request(`http://${server.address}${path}`, { method, headers, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  const trusted = (path: string, { headers, ...rest }: Call = {}): Promise<Answer> =>
    call(path, { ...rest, headers: { ...headers, authorization: `Bearer ${token}` } });
  return { call, trusted, report };
}

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
  report.judge([{ severity: "error", path: "routes.a", message: "no", file: "f.yaml", line: 3, column: 5 }]);
  const status = JSON.parse((await trusted("/v1/status")).text) as Record<string, unknown>; // asserted below
  assert.deepEqual(status["problems"], report.problems);
  assert.equal(status["revision"], 1);
  assert.deepEqual(status["source"], { kind: "file", path: "/etc/headgate.yaml" });
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
    handle: () => Promise.reject(error),
  });
  const { call } = await admin(t, [
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

test("docs/admin.md describes exactly the endpoints there are", () => {
  const page = readFileSync(new URL("../../../../docs/admin.md", import.meta.url), "utf8");
  const documented = Array.from(page.matchAll(/^\| `(GET|POST) (\/[^`]*)` +\| (\w+) +\|/gm), (row) =>
    row.slice(1, 4).join(" "),
  );
  // Only the list is looked at; no endpoint is called.
  const endpoints = adminEndpoints({} as AdminParts).map(({ method, path, access }) => `${method} ${path} ${access}`);
  assert.deepEqual(documented.sort(), endpoints.sort());
});
