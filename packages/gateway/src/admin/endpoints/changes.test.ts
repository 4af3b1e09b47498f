import assert from "node:assert/strict";
import { test } from "node:test";
import { ChangeError } from "../../control/change/change-error.ts";
import type { Change } from "../../control/change/change.ts";
import { admin, applyResult } from "../admin.fixtures.ts";

const post = (body: unknown, headers = {}) => ({ method: "POST", body: JSON.stringify(body), headers });

test("documents are applied as maps or as texts, with all that was asked for", async (t) => {
  const { trusted, engine } = await admin(t);
  const documents = [{ routes: {} }, "services: { s: {} }\n", '{"consumers":{}}', ""];
  const body = { documents, prune: true, confirm: "60s", message: "why", wait: "10s" };
  const answer = await trusted("/v1/apply", post(body, { "x-headgate-author": "ann" }));
  assert.deepEqual([answer.status, answer.json()], [200, { ...applyResult }]);
  const read = [{ routes: {} }, { services: { s: {} } }, { consumers: {} }, null];
  const options = { author: "ann", dryRun: false, message: "why", waitMs: 10_000, prune: true, confirmMs: 60_000 };
  assert.deepEqual(engine.calls, [["apply", read, options]]);
});

test("documents that hold ten thousand routes fit", async (t) => {
  const { trusted, engine } = await admin(t);
  const routes = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, i) => [`r${i}`, { match: { path: "/a".repeat(300) } }]),
  );
  const answer = await trusted("/v1/apply", post({ documents: [{ routes }] }));
  assert.equal(answer.status, 200);
  assert.deepEqual(engine.calls[0]?.[1], [{ routes }]);
});

for (const [body, status, told] of [
  [{}, 400, /documents: is missing/],
  [{ documents: [] }, 400, /documents: must not be empty/],
  [{ documents: [3] }, 400, /documents\[0\]: expected/],
  [{ documents: [{}], dryrun: true }, 400, /did you mean \\"dryRun\\"/],
  [{ documents: [{}], wait: "ten" }, 400, /send a duration/],
  [{ documents: [{}], confirm: "10ms" }, 400, /confirm is \\"10ms\\": send 1s to 24h/],
  [{ documents: [{}], confirm: "10s", dryRun: true }, 400, /leave out confirm or dryRun/],
  [{ documents: [{}], message: "a".repeat(1_025) }, 400, /at most 1024/],
  [{ documents: ["a: [\n"] }, 422, /"file":"documents\[0\]","message":"[^"]+","line":\d+/],
  [{ documents: [`a: ${"x".repeat(300_000)}`, `b: ${"x".repeat(300_000)}`] }, 413, /documents\[1\] has .* send JSON/],
  [{ documents: ["x".repeat(17 * 1024 * 1024)] }, 413, /at most 16777216 bytes/],
] as const) {
  test(`an application of ${JSON.stringify(body).slice(0, 60)} answers ${status}`, async (t) => {
    const { trusted, engine } = await admin(t);
    const answer = await trusted("/v1/apply", post(body));
    assert.equal(answer.status, status, answer.text.slice(0, 500));
    assert.match(answer.text, told);
    assert.deepEqual(engine.calls, []);
  });
}

test("checking tells what is wrong, and changes nothing", async (t) => {
  const warning = { severity: "warning" as const, path: "routes.a", message: "cannot be reached" };
  const seen: unknown[] = [];
  const { trusted, engine } = await admin(t, {
    changes: undefined,
    check: (documents) => {
      seen.push(documents);
      return Promise.resolve([warning]);
    },
  });
  const answer = await trusted("/v1/check", post({ documents: ["routes: {}"] }));
  assert.deepEqual([answer.status, answer.json()], [200, { valid: true, problems: [warning] }]);
  assert.deepEqual(seen, [[{ routes: {} }]]);
  const broken = (await trusted("/v1/check", post({ documents: ["routes: {}", "a: b: c"] }))).json();
  assert.equal(broken["valid"], false);
  assert.match(JSON.stringify(broken["problems"]), /"file":"documents\[1\]"/);
  assert.deepEqual([seen.length, engine.calls], [1, []]);
});

test("changes are listed as asked for; a file has none", async (t) => {
  const { trusted, engine } = await admin(t);
  const change: Change = { id: "c1", revision: 7, time: "", author: "ann", message: "", action: "apply", writes: [] };
  engine.changes = [change];
  assert.deepEqual((await trusted("/v1/changes")).json(), { changes: [change] });
  await trusted("/v1/changes?limit=5&kind=routes&name=a&secrets=true");
  assert.deepEqual(engine.calls, [
    ["history", { limit: 50, secrets: false }],
    ["history", { limit: 5, kind: "routes", name: "a", secrets: true }],
  ]);
  const { trusted: ofFile } = await admin(t, { changes: undefined });
  assert.deepEqual((await ofFile("/v1/changes")).json(), { changes: [] });
});

for (const [query, told] of [
  ["limit=0", /send 1 to 200/],
  ["limit=201", /send 1 to 200/],
  ["limit=all", /send 1 to 200/],
  ["name=a", /send kind too/],
  ["kind=route", /did you mean \\"routes\\"/],
] as const) {
  test(`a list of changes with ${query} is refused`, async (t) => {
    const { trusted } = await admin(t);
    const answer = await trusted(`/v1/changes?${query}`);
    assert.equal(answer.status, 400);
    assert.match(answer.text, told);
  });
}

test("a revision is rolled back to", async (t) => {
  const { trusted, engine } = await admin(t);
  const answer = await trusted("/v1/rollback", post({ revision: 7, dryRun: true, message: "oops", wait: "1s" }));
  assert.equal(answer.status, 200);
  const options = { author: "admin-api", dryRun: true, message: "oops", waitMs: 1_000 };
  assert.deepEqual(engine.calls, [["rollback", 7, options]]);
  assert.equal((await trusted("/v1/rollback", post({ revision: 0 }))).status, 400);
  assert.equal((await trusted("/v1/rollback", post({}))).status, 400);
  engine.failure = new ChangeError("history-gone", "Nobody remembers revision 7.");
  assert.equal((await trusted("/v1/rollback", post({ revision: 7 }))).status, 409);
});

test("a change is confirmed by its id, or the one that waits", async (t) => {
  const { trusted, engine } = await admin(t);
  assert.deepEqual((await trusted("/v1/confirm", post({ change: "c7" }))).json(), { change: "c7" });
  assert.deepEqual((await trusted("/v1/confirm", { method: "POST" })).json(), { change: "only" });
  assert.deepEqual(engine.calls, [
    ["confirm", "c7"],
    ["confirm", undefined],
  ]);
  engine.failure = new ChangeError("not-waiting", "Nothing waits for confirmation.");
  assert.equal((await trusted("/v1/confirm", post({}))).status, 404);
});

for (const path of ["/v1/apply", "/v1/rollback", "/v1/confirm"]) {
  test(`without a store ${path} says where the configuration comes from`, async (t) => {
    const { trusted } = await admin(t, { changes: undefined });
    const answer = await trusted(path, post({}));
    assert.equal(answer.status, 409);
    assert.match(answer.text, /\/etc\/headgate\.yaml/);
  });
}
