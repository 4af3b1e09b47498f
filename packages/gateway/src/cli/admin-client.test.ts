import assert from "node:assert/strict";
import { test } from "node:test";
import { deadPort } from "../../../../tests/kit/ports.ts";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { fakeAdmin, problem, run, runAgainst, startCommand, token } from "./cli.fixtures.ts";

const empty = { "GET /v1/routes": [200, {}] } as const;

for (const [status, extra, code] of [
  [400, {}, 2],
  [400, { code: "future" }, 1],
  [401, {}, 3],
  [403, {}, 3],
  [404, {}, 1],
  [409, {}, 1],
  [412, {}, 1],
  [413, {}, 1],
  [415, {}, 1],
  [422, { problems: [{ severity: "error", path: "routes.a", message: "no" }] }, 1],
  [500, {}, 3],
  [503, {}, 3],
  [507, {}, 3],
] as const) {
  test(`an answer of ${status} ${JSON.stringify(extra)} ends in ${code} with one sentence`, async (t) => {
    const given = problem(status, "That is how it is.", extra);
    const { code: ended, out, err } = await run(t, { "GET /v1/routes": given }, ["get", "routes"]);
    assert.deepEqual([ended, out], [code, ""]);
    assert.match(err, /^(?:routes\.a: no\n)?headgate: .*[.]\n$/);
    if (status === 401) assert.match(err, /--data-dir.*--token.*HEADGATE_ADMIN_TOKEN/);
  });
}

test("with -o json the gateway's refusal is on standard output, as it came", async (t) => {
  const given = problem(409, "Not now.");
  const { code, out, err } = await run(t, { "GET /v1/routes": given }, ["get", "routes", "-o", "json"]);
  assert.equal(code, 1);
  assert.deepEqual(JSON.parse(out), { type: "about:blank", title: "No", status: 409, detail: "Not now." });
  assert.equal(err, "headgate: Not now.\n");
});

test("a gateway that is not there ends in 3 and says how to name another", async (t) => {
  const { code, out, err } = await runAgainst(t, `127.0.0.1:${await deadPort()}`, ["status"]);
  assert.deepEqual([code, out], [3, ""]);
  assert.match(
    err,
    /^headgate: Could not reach the gateway at http:\/\/127\.0\.0\.1:\d+ \(.*ECONNREFUSED.*\).*--admin/,
  );
});

test("a connection that is cut ends in 3", async (t) => {
  const { code, err } = await run(t, { "GET /v1/status": (response) => void response.destroy() }, ["status"]);
  assert.equal(code, 3);
  assert.match(err, /Could not reach the gateway/);
});

for (const [what, answer] of [
  ["another server's page", [200, "<html>"]],
  ["another server's refusal", [404, "<html>not found"]],
  ["a proxy's refusal", [502, { error: "bad gateway" }]],
] as const) {
  test(`${what} ends in 3 and is not taken for a gateway's`, async (t) => {
    const { code, err } = await run(t, { "GET /v1/status": answer }, ["status"]);
    assert.equal(code, 3);
    assert.match(err, /is no gateway's admin API.*--admin/);
  });
}

test("a gateway that never answers is given up, after the time it was asked to wait as well", async (t) => {
  const { address, asked } = await fakeAdmin(t, { "POST /v1/rollback": () => undefined });
  const { done, said, clock } = await startCommand(t, address, ["rollback", "7", "--wait", "30s"]);
  await waitFor(() => asked.length === 1, { what: "the request" });
  clock.advance(149_999);
  assert.equal(clock.pending, 1);
  clock.advance(1);
  assert.equal(await done, 3);
  assert.match(said.err, /no answer within 150 s/);
});

for (const [what, flags, options, expected] of [
  ["the flag", ["--token", "a"], { env: { HEADGATE_ADMIN_TOKEN: "b" }, files: { "admin-token": "c" } }, "a"],
  ["the variable", [], { env: { HEADGATE_ADMIN_TOKEN: "b" }, files: { "admin-token": "c" } }, "b"],
  ["the file", ["--data-dir", "."], { env: { HEADGATE_ADMIN_TOKEN: "" }, files: { "admin-token": "c\n" } }, "c"],
  [
    "the directory's variable",
    [],
    { env: { HEADGATE_ADMIN_TOKEN: "", HEADGATE_DATA_DIR: "." }, files: { "admin-token": "c\n" } },
    "c",
  ],
] as const) {
  test(`the token comes from ${what}`, async (t) => {
    const { asked, code } = await run(t, empty, ["get", "routes", "-o", "json", ...flags], options);
    assert.equal(code, 0);
    assert.deepEqual(
      asked.map(({ headers }) => headers.authorization),
      [`Bearer ${expected}`],
    );
  });
}

test("without a token nothing is asked, and the way to one is told", async (t) => {
  const { asked, code, err } = await run(t, empty, ["get", "routes"], { env: { HEADGATE_ADMIN_TOKEN: "" } });
  assert.deepEqual([code, asked], [3, []]);
  assert.match(err, /no admin token in data\/admin-token; .*--data-dir.*--token/);
});

test("the address may be a flag, a URL, a URL with a path, or one that stands for every address", async (t) => {
  const { address, asked } = await fakeAdmin(t, { ...empty, "GET /gw/v1/routes": [200, {}] });
  const port = address.split(":")[1] ?? "";
  for (const given of [address, `http://${address}`, `http://${address}/gw/`, `0.0.0.0:${port}`, `localhost:${port}`]) {
    const { code, err } = await runAgainst(t, "127.0.0.1:1", ["get", "routes", "-o", "json", "--admin", given]);
    assert.equal(code, 0, err);
  }
  const paths = asked.map(({ path }) => path);
  assert.deepEqual(paths, ["/v1/routes", "/v1/routes", "/gw/v1/routes", "/v1/routes", "/v1/routes"]);
});

test("what is no address is refused as a usage error", async (t) => {
  for (const given of ["http://", "127.0.0.1:0", "a b"]) {
    const { code, err } = await runAgainst(t, "", ["status", "--admin", given]);
    assert.equal(code, 2, given);
    assert.match(err, /is not an address of an admin API; write host:port/);
  }
});

test("who changes something is told to the gateway in bytes that a header can carry", async (t) => {
  const answers = { "POST /v1/confirm": [200, { change: "c1" }] } as const;
  const { asked, out } = await run(t, answers, ["confirm"], { author: "jürgen\u0007@höst" });
  assert.equal(Buffer.from(String(asked[0]?.headers["x-headgate-author"]), "latin1").toString(), "jürgen@höst");
  assert.equal(asked[0]?.headers.authorization, `Bearer ${token}`);
  assert.equal(out, "Change c1 stays.\n");
});
