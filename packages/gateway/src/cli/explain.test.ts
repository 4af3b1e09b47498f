import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { FakeClock } from "../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../tests/kit/fake-timers.ts";
import { deadPort } from "../../../../tests/kit/ports.ts";
import { fakeAdmin, problem } from "./cli.fixtures.ts";
import { explainCommand, type ExplainIo } from "./explain.ts";

const document = `global: [request-id]
routes:
  users:
    match: { hosts: [api.test], path: /users/:id, methods: [GET] }
    use:
      - { rate-limit: { limit: 5, per: 1s }, when: { methods: [POST] } }
    to: users
    timeout: 1500ms
    delivery: { deadline: 1h }
services:
  users:
    instances:
      - { address: "127.0.0.1:3001" }
`;
const files: Readonly<Record<string, string>> = {
  "a.yaml": document,
  "bad.yaml": "routes: { x: 1 }",
  "admin-token": "t0ken\n",
};

async function run(args: readonly string[], rest: Partial<ExplainIo> = {}) {
  let out = "";
  let err = "";
  let code = -1;
  const io: ExplainIo = {
    stdout: (text) => (out += text),
    stderr: (text) => (err += text),
    env: {},
    cwd: ".",
    timers: fakeTimers(new FakeClock()),
    readFile: (path) => {
      const content = files[path.split("/").at(-1) ?? ""];
      if (content === undefined) throw new Error("ENOENT");
      return content;
    },
    ...rest,
  };
  const program = new Command().exitOverride().configureOutput({ writeErr: io.stderr, writeOut: io.stdout });
  explainCommand(program, io, (exit) => (code = exit));
  await program.parseAsync(["explain", ...args], { from: "user" });
  return { out, err, code };
}

test("a document is explained offline, with file and line", async () => {
  const { out, code } = await run(["get", "http://api.test/users/7", "-c", "a.yaml"]);
  assert.equal(code, 0);
  for (const line of [
    "GET /users/7",
    "Route users takes it.",
    "  path /users/:id, priority 0, timeout 1.5s, answers 202 and delivers within 1h (a.yaml:3)",
    '    :id is "7"',
    "  1. users: takes it (a.yaml:4)",
    "       pass  method: GET; is GET",
    "  1. request-id, global (a.yaml:1)",
    "       FAIL  when method: POST; is GET",
    "  users: 100 %, peak-ewma, connect 2s, first byte 15s, idle 1m, up to 1 retry (a.yaml:11)",
    "    127.0.0.1:3001 weight 1 (a.yaml:13)",
  ]) {
    assert.ok(out.split("\n").includes(line), `${JSON.stringify(line)} in\n${out}`);
  }
  assert.match(out, /^ {2}2\. \(skipped\) rate-limit \{"limit":5,"per":"1s"\}, route \(a\.yaml:6\)$/m);
});

test("a gateway that runs tells how instances and breakers are, too", async (t) => {
  const since = "2026-01-01T00:00:00.000Z";
  const explanation = {
    ...{ request: { method: "GET", target: "/x", client: "127.0.0.1" }, outcome: "route", reason: "Route x takes it." },
    ...{ candidates: [], leftOut: 0, chain: [] },
    destinations: [
      {
        ...{ service: "users", exists: true, weight: 1, share: 1, panic: true },
        circuit: { service: "users", state: "open", forced: "open", by: "ann", reason: "held open by ann", since },
        instances: [
          { address: "a:1", weight: 1, state: "up", since },
          { address: "b:1", weight: 1, state: "ejected", reason: "5 failures in a row", since, until: since },
        ],
      },
    ],
  };
  const { address } = await fakeAdmin(t, { "POST /v1/explain": [200, explanation] });
  const { out, code } = await run(["GET", "/x", "--admin", address, "--token", "t0ken"]);
  assert.equal(code, 0);
  assert.deepEqual(out.slice(out.indexOf("Services:")).split("\n"), [
    "Services:",
    "  users: 100 %, ",
    "    circuit breaker open, held: held open by ann",
    "    a:1 weight 1, up",
    "    b:1 weight 1, ejected: 5 failures in a row, until 00:00:00Z",
    "    Too few are well: health is not looked at, all are used.",
    "",
  ]);
});

test("the exit code tells whether a route takes it", async () => {
  assert.equal((await run(["POST", "/users/7", "-H", "Host: api.test", "-c", "a.yaml"])).code, 1);
  assert.equal((await run(["GET", "/users/7", "-H", "Host: api.test", "-c", "a.yaml"])).code, 0);
  const { out, code } = await run(["GET", "/nothing", "-c", "a.yaml", "-o", "json"]);
  assert.equal(code, 1);
  // The command's own output, read back.
  assert.equal((JSON.parse(out) as { outcome: string }).outcome, "not-found");
});

test("a document with mistakes explains nothing and says where they are", async () => {
  const { err, out, code } = await run(["GET", "/", "-c", "bad.yaml"]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /^bad\.yaml:1:\d+: routes\.x: /);
});

test("arguments that make no request end in 2 with a way out", async () => {
  for (const args of [
    ["GET", "/", "-H", "nonsense"],
    ["G T", "/"],
    ["GET", "/", "--client", "me"],
    ["GET", "/", "-o", "xml"],
    ["GET", "/", "-c", "a.yaml", "--admin", "http://127.0.0.1:1"],
    ["GET", "/", "--admin", "http://"],
  ]) {
    const { code, err } = await run(args);
    assert.equal(code, 2, args.join(" "));
    assert.match(err, /headgate explain --help/);
  }
});

test("a running gateway is asked with its token", async (t) => {
  const answer = {
    request: { method: "GET", target: "/x", client: "127.0.0.1" },
    outcome: "route",
    reason: "Route r takes it.",
    candidates: [],
    leftOut: 0,
    chain: [],
    destinations: [],
  };
  const { address, asked } = await fakeAdmin(t, { "POST /v1/explain": [200, answer] });
  const { code, out } = await run(["GET", "/x", "-H", "a: 1", "-H", "A: 2", "--admin", address]);
  assert.equal(code, 0);
  assert.match(out, /Route r takes it\./);
  const body = { method: "GET", url: "/x", headers: { a: ["1", "2"] }, client: "127.0.0.1" };
  assert.deepEqual(
    asked.map(({ headers, ...rest }) => [headers.authorization, rest.body]),
    [["Bearer t0ken", body]],
  );
});

test("a gateway that cannot be asked ends in 3 with a way out", async (t) => {
  const refused = await run(["GET", "/x", "--admin", `127.0.0.1:${await deadPort()}`]);
  assert.equal(refused.code, 3);
  assert.match(refused.err, /ECONNREFUSED[^]*-c FILE/);
  const { address } = await fakeAdmin(t, { "POST /v1/explain": problem(401, "No.") });
  const denied = await run(["GET", "/x", "--admin", address]);
  assert.equal(denied.code, 3);
  assert.match(denied.err, /does not take this token/);
  const tokenless = await run(["GET", "/x"], { readFile: () => { throw new Error("ENOENT"); } }); // prettier-ignore
  assert.equal(tokenless.code, 3);
  assert.match(tokenless.err, /--data-dir/);
});

test("a document that is not there is named without a line", async () => {
  const { code, err } = await run(["GET", "/", "-c", "none.yaml"]);
  assert.equal(code, 1);
  assert.match(err, /^none\.yaml: the file could not be read\n/);
});
