import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, errors, route, running, service } from "./catalog/catalog.fixtures.ts";
import { converging, documentOf } from "./converge.fixtures.ts";
import { refusalOf } from "./member.fixtures.ts";

test("a revision goes to the workers and is told with what became of what runs", async () => {
  const { converger, converged, member, store } = await converging();
  store(4, { "services/s": service, "routes/a": route("s"), "routes/b": "no JSON" }, 17);
  await converger.settled();
  assert.deepEqual([...member.runs.keys()].sort(), ["routes/a", "services/s"]);
  assert.equal(member.revision, 4);
  const [{ revision, seenMs, change, entries, writes } = assert.fail()] = converged;
  assert.deepEqual([revision, seenMs, change?.revision], [4, 17, 4]);
  assert.deepEqual(entries.map(({ id }) => id).sort(), ["routes/a", "services/s"]);
  assert.deepEqual(writes, [
    { kind: "services", name: "s", action: "create" },
    { kind: "routes", name: "a", action: "create" },
  ]);
  store(5, { "routes/a": route("s", [], "/b") });
  store(6, { "routes/a": undefined });
  await converger.settled();
  assert.deepEqual(
    converged.slice(1).flatMap((one) => one.writes.map(({ action }) => action)),
    ["update", "delete"],
  );
});

test("a revision in which nothing that runs changes is told, and the workers are left alone", async () => {
  const { converger, converged, member, store } = await converging();
  store(4, { "routes/b": "no JSON" });
  await converger.settled();
  assert.deepEqual(member.seen, []);
  assert.deepEqual([converger.revision, converged[0]?.change], [4, undefined]);
});

test("revisions that come while one is published are taken together, each whole, the newest winning", async () => {
  const { converger, converged, member, store, hold } = await converging();
  const release = hold();
  store(1, { "routes/a": answer("1") }, 10);
  store(2, { "routes/a": answer("2"), "services/s": service }, 20);
  store(3, { "routes/b": route("s") }, 30);
  store(4, { "routes/a": answer("4") }, 40);
  assert.equal(converger.newest, 4);
  release();
  await converger.settled();
  assert.deepEqual(
    converged.map(({ revision, seenMs }) => [revision, seenMs]),
    [
      [1, 10],
      [4, 20],
    ],
  );
  assert.deepEqual(
    member.prepared.map(({ routes }) => Object.keys(routes?.set ?? {})),
    [["a"], ["a", "b"]],
  );
  assert.deepEqual([...member.runs.keys()].sort(), ["routes/a", "routes/b", "services/s"]);
});

test("a document is a batch of its own, in its place between the revisions", async () => {
  const { converger, converged, store, hold, member } = await converging();
  const release = hold();
  store(1, { "services/s": service });
  store(2, { "routes/b": route("s") });
  const live = converger.file(documentOf({ routes: { a: answer("file") } }), 0, converger.newest);
  store(3, { "routes/b": undefined });
  store(4, { "routes/c": route("s") });
  release();
  assert.equal(await live, "live");
  await converger.settled();
  assert.deepEqual(
    converged.map(({ revision, writes }) => [revision, writes.map(({ name }) => name)]),
    [
      [1, ["s"]],
      [2, ["b"]],
      [2, ["a"]],
      [4, ["b", "c"]],
    ],
  );
  assert.equal(member.revision, 4);
});

test("it is settled when all is live that was handed over before, whatever comes meanwhile", async () => {
  const { converger, converged, store, hold } = await converging();
  await converger.settled();
  const release = hold();
  store(1, { "routes/a": answer("1") });
  let settled = false;
  const told = converger.settled().then(() => (settled = true));
  await Promise.resolve();
  assert.equal(settled, false);
  // Changes that follow one another without a pause.
  let revision = 1;
  const more = (): void => {
    if (!settled && revision < 50) store(++revision, { "routes/b": answer(String(revision)) });
  };
  converged.push = (...items) => {
    more();
    return Array.prototype.push.apply(converged, items);
  };
  more();
  release();
  await told;
  assert.ok(revision < 50, "it waited for what came later");
  await converger.settled();
  assert.equal(converger.revision, revision);
});

test("a document that the workers refuse is refused as a whole, and what it shadowed and was stays", async () => {
  const { catalog, converger, converged, member, store } = await converging();
  store(1, { "routes/a": answer("store"), "routes/b": answer("store") });
  const before = documentOf({ routes: { b: answer("old file"), c: answer("old file") } });
  assert.equal(await converger.file(before, 0, 1), "live");
  member.refuses = ({ routes }) => (routes?.set["a"] === undefined ? undefined : refusalOf("routes/a"));
  const next = documentOf({ routes: { a: answer("new"), c: answer("new") }, consumers: { x: { keys: ["k"] } } });
  assert.deepEqual(await converger.file(next, 0, 1), { refused: "routes/a cannot be built" });
  await converger.settled();
  const bodies = Object.entries(catalog.live.routes).map(([name, { respond }]) => [name, respond?.body]);
  assert.deepEqual(bodies.sort(), [
    ["a", "store"],
    ["b", "old file"],
    ["c", "old file"],
  ]);
  assert.deepEqual([...member.runs.keys()].sort(), running(catalog));
  assert.deepEqual(errors(catalog), {});
  assert.equal(converged.at(-1)?.change, undefined);
});

test("what the store changes around a refused document goes live", async () => {
  const { catalog, converger, member, store, hold } = await converging();
  const release = hold();
  member.refuses = ({ routes }) => (routes?.set["bad"] === undefined ? undefined : refusalOf("routes/bad"));
  store(1, { "routes/a": answer("a") });
  store(2, { "routes/b": answer("b") });
  const refused = converger.file(documentOf({ routes: { bad: answer("file") } }), 0, 2);
  store(3, { "routes/c": answer("c") });
  release();
  assert.notEqual(await refused, "live");
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/a", "routes/b", "routes/c"]);
  assert.equal(converger.revision, 3);
});

test("the first document is revision one though it holds nothing; one that changes nothing has none", async () => {
  const { converger } = await converging();
  assert.equal(await converger.file(documentOf({}), 0, 1), "unchanged");
  assert.equal(converger.revision, 1);
  assert.equal(await converger.file(documentOf({}), 0, 2), "unchanged");
  assert.equal(converger.revision, 1);
});

test("a first document that is refused is no revision", async () => {
  const { converger, member } = await converging();
  member.refuses = () => refusalOf("routes/a");
  assert.deepEqual(await converger.file(documentOf({ routes: { a: answer("") } }), 0, 1), {
    refused: "routes/a cannot be built",
  });
  await converger.settled();
  assert.equal(converger.revision, 0);
});

test("a revision that goes back, as after a restore, is what it says", async () => {
  const { converger, store } = await converging();
  store(9, { "routes/a": answer("9") });
  await converger.settled();
  store(3, { "routes/a": answer("3") });
  await converger.settled();
  assert.deepEqual([converger.revision, converger.newest], [3, 3]);
});

test("a plugin goes live as it was built, and not at all where it cannot be", async () => {
  const { catalog, converger, store } = await converging({
    buildPlugin: (name, version) =>
      Promise.resolve(
        name === "good"
          ? { ...version, value: { source: "x", module: "built" } }
          : { ...version, value: {}, problems: [{ path: [], message: "does not build", severity: "error" }] },
      ),
  });
  store(1, { "plugins/good": "export default 1", "plugins/bad": "export", "routes/a": answer("", ["good"]) });
  await converger.settled();
  assert.equal(catalog.live.plugins["good"]?.module, "built");
  assert.deepEqual(errors(catalog), { "plugins/bad": ["does not build"] });
  assert.deepEqual(running(catalog), ["plugins/good", "routes/a"]);
});

test("a defect while a change is taken over is logged and holds up nothing", async () => {
  let failing = true;
  const { converger, store, lines, catalog } = await converging({
    onConverged: () => {
      if (failing) throw new Error("defect");
    },
  });
  store(1, { "routes/a": answer("1") });
  await converger.settled();
  failing = false;
  assert.ok(lines.some((line) => line.startsWith("error a change could not be taken over")));
  store(2, { "routes/b": answer("2") });
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/a", "routes/b"]);
});

test("a list of thousands of resources is one change", async () => {
  const { catalog, converger, converged, store } = await converging();
  const routes = Array.from({ length: 1_200 }, (_, i) => [`routes/r${i}`, answer(String(i))]);
  store(7, Object.fromEntries(routes));
  await converger.settled();
  assert.equal(running(catalog).length, 1_200);
  assert.equal(converged.length, 1);
});

test("of a document only the resources that are other objects than before are sent", async () => {
  const { converger, member } = await converging();
  const names = Array.from({ length: 50 }, (_, i) => `r${i}`);
  const first = documentOf({ routes: Object.fromEntries(names.map((name) => [name, answer("1")])) });
  await converger.file(first, 0, 1);
  const { r7 } = documentOf({ routes: { r7: answer("2") } }).routes;
  assert.ok(r7 !== undefined);
  assert.equal(await converger.file({ ...first, routes: { ...first.routes, r7 } }, 0, 2), "live");
  assert.deepEqual(Object.keys(member.prepared.at(-1)?.routes?.set ?? {}), ["r7"]);
});

test("routes of a large change are told ahead, those that are valid and have no steps; small changes are told as ever", async () => {
  const { converger, member, store } = await converging({ aheadMin: 3 });
  store(1, {
    "routes/plain": { respond: {} },
    "routes/steps": { use: ["probe"], respond: {} },
    "routes/wrong": { respnd: {} },
    "routes/lost": { to: "nobody" },
  });
  await converger.settled();
  store(2, { "routes/small": { respond: {} } });
  await converger.settled();
  assert.deepEqual([...member.runs.keys()].sort(), ["routes/plain", "routes/small", "routes/steps"]);
  const seen = member.asked.map((message) => {
    if (message.type === "ahead") return (JSON.parse(message.text) as [string][]).map(([name]) => name);
    if (message.type !== "prepare") return message.type;
    return { set: Object.keys(message.change.routes?.set ?? {}), but: message.change.aheadBut };
  });
  assert.deepEqual(
    seen.slice(2), // behind the empty one of the worker that arrived
    [
      ["plain", "lost"],
      { set: ["steps"], but: ["lost"] },
      "commit",
      "forget-ahead",
      { set: ["small"], but: undefined },
      "commit",
    ],
  );
});

test("instances that come have no revision of their own: they are of the one that runs", async () => {
  const { converger, converged, member } = await converging();
  await converger.file(documentOf({ services: { s: { discover: { etcd: "people" } } } }), 0, 7);
  converger.instances(new Set(["people"]), 0);
  await converger.settled();
  assert.deepEqual([converger.revision, converged.at(-1)?.revision], [7, 7]);
  assert.ok(member.seen.length > 0);
});
