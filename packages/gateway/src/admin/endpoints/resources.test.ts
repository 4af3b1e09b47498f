import assert from "node:assert/strict";
import { test } from "node:test";
import { ChangeError } from "../../control/change/change-error.ts";
import { StoreError } from "../../control/store/store.ts";
import { admin, applyResult, item } from "../admin.fixtures.ts";

const route = { match: { path: "/a" }, to: "s" };
const rejected = { severity: "error" as const, path: "routes.b.to", message: "there is no service", revision: 13 };

test("a kind is listed by name, and with details with where each is from and what is wrong", async (t) => {
  const { trusted, items, report } = await admin(t);
  report.live(14, 0);
  const broken = item("routes", "b", 13, { to: "x" }, { live: false, problems: [rejected] });
  items.push(broken, item("routes", "a", 12, route), item("services", "s", null, {}));
  assert.deepEqual((await trusted("/v1/routes")).json(), { a: route, b: { to: "x" } });
  assert.deepEqual((await trusted("/v1/consumers")).json(), {});
  const detailed = (await trusted("/v1/routes?details=true")).json();
  assert.deepEqual(detailed, { revision: 14, items: [items[1], broken] });
});

test("a resource carries its revision as ETag, one of a file says so", async (t) => {
  const { trusted, items } = await admin(t);
  items.push(item("routes", "a", 12, route), item("services", "s", null, {}));
  const stored = await trusted("/v1/routes/a");
  assert.deepEqual([stored.headers["etag"], stored.json()], ['"12"', route]);
  assert.deepEqual((await trusted("/v1/routes/a?details=true")).json(), items[0]);
  assert.equal((await trusted("/v1/services/s")).headers["etag"], '"file"');
  assert.equal((await trusted("/v1/routes/a", { method: "HEAD" })).headers["etag"], '"12"');
  assert.equal((await trusted("/v1/routes/nothing")).status, 404);
  assert.equal((await trusted("/v1/routes/a%2Fb")).status, 404);
  assert.equal((await trusted("/v1/routes/%zz")).status, 400);
});

for (const [headers, status] of [
  [{ "if-none-match": '"12"' }, 304],
  [{ "if-none-match": 'W/"12"' }, 304],
  [{ "if-none-match": '"11", "12"' }, 304],
  [{ "if-none-match": "*" }, 304],
  [{ "if-none-match": '"11"' }, 200],
  [{ "if-match": '"12"' }, 200],
  [{ "if-match": "*" }, 200],
  [{ "if-match": 'W/"12"' }, 412],
  [{ "if-match": '"11"', "if-none-match": '"12"' }, 412],
  [{ "if-match": "12" }, 400],
] as const) {
  test(`a read under ${JSON.stringify(headers)} answers ${status}`, async (t) => {
    const { trusted, items } = await admin(t);
    items.push(item("routes", "a", 12, route));
    const answer = await trusted("/v1/routes/a", { headers });
    assert.equal(answer.status, status);
    if (status !== 400) assert.equal(answer.headers["etag"], '"12"');
    if (status === 304) assert.equal(answer.text, "");
  });
}

test("a write reaches the engine with author, reason and preconditions", async (t) => {
  const { trusted, engine } = await admin(t);
  const answer = await trusted("/v1/routes/a?dryRun=true&message=because&wait=10s", {
    method: "PUT",
    headers: { "if-match": '"12", W/"13", "x"', "x-headgate-author": "ann@host" },
    body: JSON.stringify(route),
  });
  const options = { author: "ann@host", dryRun: true, message: "because", waitMs: 10_000, ifMatch: [12] };
  assert.deepEqual(engine.calls, [["put", "routes", "a", route, options]]);
  assert.deepEqual([answer.status, answer.headers["etag"], answer.json()], [200, '"42"', { ...applyResult }]);
});

test("what a write comes to is told by status and ETag", async (t) => {
  const { trusted, engine } = await admin(t);
  const put = () => trusted("/v1/routes/a", { method: "PUT", headers: { "if-none-match": "*" }, body: "{}" });
  engine.result = { ...engine.result, created: true };
  assert.equal((await put()).status, 201);
  engine.result = { ...engine.result, created: false, change: null, modRevision: 12 };
  const unchanged = await put();
  assert.deepEqual([unchanged.status, unchanged.headers["etag"]], [200, '"12"']);
  const gone = await trusted("/v1/routes/a", { method: "DELETE", headers: { "if-match": "*" } });
  assert.deepEqual([gone.status, gone.headers["etag"]], [200, undefined]);
  assert.deepEqual(engine.calls.at(0)?.at(4), { author: "admin-api", dryRun: false, ifNoneMatch: "*" });
  assert.deepEqual(engine.calls.at(-1), [
    "delete",
    "routes",
    "a",
    { author: "admin-api", dryRun: false, ifMatch: "*" },
  ]);
});

for (const [kind, type, body, value] of [
  ["routes", "application/yaml", "match: { path: /a }\nto: s\n", route],
  ["routes", "application/json; charset=UTF-8", JSON.stringify(route), route],
  ["routes", "application/x-www-form-urlencoded", JSON.stringify(route), route],
  ["settings", "text/yaml", "[request-id]", ["request-id"]],
  ["plugins", "text/plain", "export default 1;", { source: "export default 1;" }],
  ["plugins", "application/typescript", "ü", { source: "ü" }],
  ["plugins", "application/json", '{"source":"1"}', { source: "1" }],
] as const) {
  test(`${kind} are taken as ${type}`, async (t) => {
    const { trusted, engine } = await admin(t);
    const name = kind === "settings" ? "global" : "a";
    const answer = await trusted(`/v1/${kind}/${name}`, { method: "PUT", headers: { "content-type": type }, body });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(engine.calls[0]?.slice(0, 4), ["put", kind, name, value]);
  });
}

for (const [path, headers, body, status, told] of [
  ["/v1/routes/a", { "content-type": "text/plain" }, "x", 415, /application\/json or application\/yaml/],
  ["/v1/routes/a", { "content-type": "application/json; charset=latin1" }, "{}", 415, /send UTF-8/],
  ["/v1/routes/a", { "content-encoding": "gzip" }, "{}", 415, /as it is/],
  ["/v1/routes/a", {}, "", 400, /empty/],
  ["/v1/routes/a", {}, "to: s", 400, /application\/yaml/],
  ["/v1/routes/a", { "content-type": "application/yaml" }, "a: 1\na: 2", 400, /twice/],
  ["/v1/routes/a", {}, Buffer.from([0x22, 0xff, 0x22]), 400, /UTF-8/],
  ["/v1/routes/a", {}, '{"__proto__":{}}', 400, /__proto__/],
  ["/v1/routes/a", {}, `"${"a".repeat(2 * 1024 * 1024)}"`, 413, /at most 2097152 bytes/],
  ["/v1/routes/a?wait=soon", {}, "{}", 400, /send a duration such as/],
  ["/v1/routes/a?wait=1h", {}, "{}", 400, /send 0ms to 10m/],
  ["/v1/routes/a?dryrun=true", {}, "{}", 400, /did you mean \\"dryRun\\"/],
  ["/v1/routes/a?dryRun=1", {}, "{}", 400, /dryRun=true or dryRun=false/],
  ["/v1/routes/a", { "x-headgate-author": "a".repeat(257) }, "{}", 400, /256 printable/],
  ["/v1/routes/-a", {}, "{}", 400, /the first a letter or digit/],
  ["/v1/settings/local", {}, "[]", 400, /expected \\"global\\"/],
] as const) {
  test(`PUT ${path} with ${JSON.stringify(headers)} and ${JSON.stringify(String(body).slice(0, 20))} answers ${status}`, async (t) => {
    const { trusted, engine } = await admin(t);
    const answer = await trusted(path, { method: "PUT", headers, body });
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.text, told);
    assert.deepEqual(engine.calls, []);
  });
}

const problems = [{ severity: "error" as const, path: "routes.a.to", message: "there is no service" }];

for (const [failure, status, headers, extra] of [
  [new ChangeError("invalid", "It is not valid.", { problems }), 422, {}, { problems }],
  [new ChangeError("precondition-failed", "It changed.", { modRevision: 12 }), 412, { etag: '"12"' }, {}],
  [new ChangeError("precondition-failed", "It is gone.", { modRevision: 0 }), 412, {}, {}],
  [new ChangeError("conflict", "Others changed it."), 409, {}, {}],
  [new ChangeError("not-found", "There is none."), 404, {}, {}],
  [new ChangeError("unanswered", "It did not answer."), 503, { "retry-after": "2" }, {}],
  [new StoreError("unreachable", "no connection"), 503, { "retry-after": "2" }, { detail: "No connection." }],
  [new StoreError("too-large", "too large"), 413, {}, {}],
  [new StoreError("no-space", "full"), 507, {}, {}],
] as const) {
  test(`a write that fails with ${failure.code} (${failure.message}) answers ${status}`, async (t) => {
    const { trusted, engine } = await admin(t);
    engine.failure = failure;
    const answer = await trusted("/v1/routes/a", { method: "PUT", body: "{}" });
    assert.equal(answer.status, status);
    assert.equal(answer.json()["code"], failure.code);
    const { etag, "retry-after": retryAfter } = answer.headers;
    const told = { ...(etag === undefined ? {} : { etag }), ...(retryAfter && { "retry-after": retryAfter }) };
    assert.deepEqual(told, headers);
    for (const [name, value] of Object.entries(extra)) assert.deepEqual(answer.json()[name], value);
  });
}

test("without a store resources are shown and not written", async (t) => {
  const { trusted, items } = await admin(t, { changes: undefined });
  items.push(item("routes", "a", null, route));
  assert.equal((await trusted("/v1/routes/a")).status, 200);
  for (const method of ["PUT", "DELETE"]) {
    const answer = await trusted("/v1/routes/a", { method });
    assert.equal(answer.status, 409);
    assert.match(answer.text, /comes from \/etc\/headgate\.yaml; edit it, it is watched\./);
  }
});

test("what a file says beside a store is not written to where it would have no effect", async (t) => {
  const { trusted, items, engine } = await admin(t);
  items.push(item("routes", "a", null, route));
  const answer = await trusted("/v1/routes/a", { method: "PUT", body: "{}" });
  assert.equal(answer.status, 409);
  assert.match(answer.text, /routes\/a comes from \/etc\/headgate\.yaml/);
  assert.deepEqual(engine.calls, []);
});

test("the author may be written in UTF-8", async (t) => {
  const { trusted, engine } = await admin(t);
  const headers = { "x-headgate-author": Buffer.from("jürgen").toString("latin1") };
  await trusted("/v1/routes/a", { method: "DELETE", headers });
  assert.deepEqual(engine.calls[0]?.[3], { author: "jürgen", dryRun: false });
});
