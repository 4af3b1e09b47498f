import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, prefix, route, service, stateOf, type Written } from "./catalog/catalog.fixtures.ts";
import type { ResourceWrite } from "./change/change.ts";
import { converging, documentOf } from "./converge.fixtures.ts";
import { judgeOf } from "./judge.ts";
import { isKind } from "./layout.ts";
import { refusalOf } from "./member.fixtures.ts";
import { Routing } from "./routing.ts";

async function judging(written: Written = {}) {
  const rig = await converging();
  rig.store(1, written);
  await rig.converger.settled();
  rig.member.seen.length = 0;
  const asked: unknown[] = [];
  const judge = judgeOf({
    prefix,
    catalog: rig.catalog,
    publisher: rig.publisher,
    routing: new Routing(() => rig.catalog.live),
    settled: () => rig.converger.settled(),
    buildPlugin: (name, version) =>
      Promise.resolve(
        name === "broken"
          ? { ...version, problems: [{ path: ["plugins", name], message: "does not build", severity: "error" }] }
          : version,
      ),
    traffic: (one) => {
      asked.push(one);
      return Promise.resolve({ requests: 3 });
    },
  });
  const told = async (writes: Written, traffic = false) => judge(writesOf(writes), { traffic });
  return { ...rig, judge, told, asked };
}

function writesOf(written: Written): ResourceWrite[] {
  return Object.entries(written).map(([id, value]) => {
    const [kind = "", name = ""] = id.split("/");
    assert.ok(isKind(kind));
    return { kind, name, value };
  });
}

function messages({
  problems,
}: {
  problems: readonly { severity: string; path: string; message: string }[];
}): string[] {
  return problems.map(({ severity, path, message }) => `${severity} ${path}: ${message}`);
}

test("what can be is built by the workers and thrown away; nothing that runs is touched", async () => {
  const { told, catalog, member } = await judging({ "services/s": service });
  const before = stateOf(catalog);
  assert.deepEqual(await told({ "routes/a": route("s"), "routes/b": route("s", [], "/b") }), {
    problems: [],
    unreachable: [],
  });
  assert.deepEqual(
    member.seen.map(({ type }) => type),
    ["prepare", "abandon"],
  );
  assert.deepEqual([...member.runs.keys()], ["services/s"]);
  assert.deepEqual(stateOf(catalog), before);
});

test("writes that would change nothing that runs ask nobody", async () => {
  const { told, member } = await judging({ "services/s": service });
  assert.deepEqual(await told({ "services/s": service, "routes/none": undefined }), { problems: [], unreachable: [] });
  assert.deepEqual(member.seen, []);
});

for (const [what, writes, expected] of [
  ["a value that is not valid", { "routes/a": { to: 7 } }, /^error routes\.a\./],
  [
    "a reference that leads nowhere",
    { "routes/a": route("nobody") },
    /^error routes\.a\.to\[0\]\.service: there is no service/,
  ],
  [
    "settings that its middleware does not take",
    { "settings/global": [{ probe: { depth: "" } }] },
    /^error global\[0\]\.probe\.depth/,
  ],
  [
    "a plugin that does not build",
    { "plugins/broken": { source: "export" } },
    /^error plugins\.broken: does not build/,
  ],
  ["a plugin by its path", { "plugins/p": { path: "/p.ts" } }, /^error plugins\.p: a plugin in a store has a source/],
  [
    "what is in the environment",
    { "consumers/c": { keys: ["${KEY}"] } },
    /^error consumers\.c: \$\{KEY\} is not expanded/,
  ],
  ["a certificate", { "certificates/c": { hosts: [] } }, /^error certificates\.c: TLS is not available/],
  [
    "a service that something needs being deleted",
    { "services/s": undefined },
    /^error routes\.r\.to\[0\]\.service: there is no service "s"/,
  ],
  [
    "a key that another consumer has",
    { "consumers/new": { keys: ["taken"] } },
    /^error consumers\.new\.keys\[0\]: the key is also/,
  ],
] as const) {
  test(`${what} is an error, and no worker is asked`, async () => {
    const { told, member } = await judging({
      "services/s": service,
      "routes/r": route("s"),
      "consumers/owner": { keys: ["taken"] },
    });
    const judgement = await told(writes);
    assert.equal(judgement.problems.length, 1, JSON.stringify(judgement.problems));
    assert.match(messages(judgement)[0] ?? "", expected);
    assert.deepEqual(
      Object.keys(judgement.problems[0] ?? {}).filter((key) => key === "key" || key === "revision"),
      [],
    );
    assert.deepEqual(member.seen, []);
  });
}

test("a certificate that is deleted is nobody's problem", async () => {
  const { told } = await judging();
  assert.deepEqual((await told({ "certificates/c": undefined })).problems, []);
});

test("references are followed with all writes in place", async () => {
  const { told } = await judging({ "services/s": service, "routes/r": route("s") });
  assert.deepEqual((await told({ "routes/a": route("new"), "services/new": service })).problems, []);
  assert.deepEqual((await told({ "services/s": undefined, "routes/r": undefined })).problems, []);
});

test("what was wrong before and stays so is not told again", async () => {
  const { told } = await judging({ "routes/a": route("late"), "services/s": service });
  assert.deepEqual((await told({ "middlewares/m": { probe: {} }, "services/s": undefined })).problems, []);
});

test("what the workers cannot build is an error each", async () => {
  const { told, member } = await judging();
  member.refuses = () => refusalOf("routes/a", "routes/b");
  const writes = { "routes/a": answer("a"), "routes/b": answer("b") };
  assert.deepEqual(messages(await told(writes)), [
    "error : routes/a cannot be built",
    "error : routes/b cannot be built",
  ]);
  member.refuses = () => ({ message: "worker 1 did not finish building it", failures: [] });
  assert.deepEqual(messages(await told(writes)), ["error : worker 1 did not finish building it"]);
});

test("routes that nobody would reach any more are told, and the traffic when it is asked for", async () => {
  const { told, asked } = await judging({ "routes/a": answer("a") });
  const writes = { "routes/b": { ...answer("b"), priority: 9 } };
  assert.deepEqual((await told(writes)).unreachable, [{ route: "a", alternative: 0, by: "b" }]);
  assert.deepEqual(asked, []);
  assert.deepEqual((await told(writes, true)).traffic, { requests: 3 });
  assert.equal(asked.length, 1);
});

test("what was written just before counts, though it is not live yet", async () => {
  const { told, store, hold } = await judging();
  const release = hold();
  store(2, { "services/s": service });
  const judgement = told({ "routes/a": route("s") });
  release();
  assert.deepEqual((await judgement).problems, []);
});

test("what a file says too is told to be without effect, and is judged all the same", async () => {
  const { told, converger } = await judging();
  await converger.file(documentOf({ routes: { a: answer("file") } }), 0, 1);
  const warning = "warning routes.a: the file this gateway was started with says it too, and goes before the store";
  assert.deepEqual(messages(await told({ "routes/a": answer("store") })), [warning]);
  const [first = "", second] = messages(await told({ "routes/a": { respond: { body: 7 } } }));
  assert.match(first, /^error routes\.a\.respond\.body/);
  assert.equal(second, warning);
});
