import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, errors, route, running, service } from "./catalog/catalog.fixtures.ts";
import { converging } from "./converge.fixtures.ts";
import { refusalOf } from "./member.fixtures.ts";

const unnamed = { message: "worker 1 did not finish building it", failures: [] };

test("what the workers name keeps its last good version, and the rest of the revision goes live", async () => {
  const { catalog, converger, member, store } = await converging();
  store(1, { "routes/a": answer("good") });
  await converger.settled();
  member.refuses = ({ routes }) => (routes?.set["a"] === undefined ? undefined : refusalOf("routes/a"));
  store(2, { "routes/a": answer("bad"), "routes/b": answer("b") });
  await converger.settled();
  assert.equal(catalog.live.routes["a"]?.respond?.body, "good");
  assert.deepEqual(running(catalog), ["routes/a", "routes/b"]);
  assert.deepEqual(errors(catalog), { "routes/a": ["routes/a cannot be built"] });
  assert.equal(converger.revision, 2);
});

test("several that fail, one after the other, are each refused alone", async () => {
  const { catalog, converger, member, store } = await converging();
  const bad = ["routes/a", "services/s", "middlewares/m"];
  member.refuses = ({ routes = { set: {} }, services = { set: {} }, middlewares = { set: {} } }) => {
    const sets = { routes: routes.set, services: services.set, middlewares: middlewares.set };
    const ids = Object.entries(sets).flatMap(([kind, set]) => Object.keys(set).map((name) => `${kind}/${name}`));
    const found = bad.find((id) => ids.includes(id));
    return found === undefined ? undefined : refusalOf(found);
  };
  const written = {
    "middlewares/m": { probe: {} },
    "services/s": service,
    "routes/a": answer(""),
    "routes/b": answer(""),
  };
  store(1, written);
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/b"]);
  assert.deepEqual(Object.keys(errors(catalog)).sort(), [...bad].sort());
});

test("the global chain that cannot be built stays what it was", async () => {
  const { catalog, converger, member, store } = await converging();
  member.refuses = ({ global }) =>
    global === undefined
      ? undefined
      : { message: "no", failures: [{ kind: "global", name: "", message: "global: no" }] };
  store(1, { "settings/global": ["probe"], "routes/a": answer("") });
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/a"]);
  assert.deepEqual(errors(catalog), { "settings/global": ["global: no"] });
});

test("a plugin is blamed for the unchanged route that does not take its new version", async () => {
  const { catalog, converger, member, store } = await converging();
  store(1, { "plugins/p": { source: "export default 1" }, "routes/a": answer("", ["p"]) });
  await converger.settled();
  member.refuses = ({ plugins }) => (plugins?.set["p"] === undefined ? undefined : refusalOf("plugins/p"));
  store(2, { "plugins/p": { source: "export default 2" }, "routes/b": answer("", ["p"]) });
  await converger.settled();
  assert.equal(catalog.live.plugins["p"]?.source, "export default 1");
  assert.deepEqual(running(catalog), ["plugins/p", "routes/a", "routes/b"]);
});

test("where nobody is named, the plugins among the changes are refused, and what needs them waits", async () => {
  const { catalog, converger, member, store } = await converging();
  member.refuses = ({ plugins }) => (plugins === undefined ? undefined : unnamed);
  store(1, { "plugins/p": "export default 1", "routes/a": answer("", ["p"]), "routes/b": answer("") });
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/b"]);
  assert.deepEqual(errors(catalog), {
    "plugins/p": [unnamed.message],
    "routes/a": ['there is no middleware "p"'],
  });
});

test("where nobody is named and there is no plugin, all that changed is refused", async () => {
  const { catalog, converger, member, store } = await converging();
  store(1, { "routes/a": answer("good") });
  await converger.settled();
  member.refuses = () => unnamed;
  store(2, { "routes/a": answer("bad"), "services/s": service });
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/a"]);
  assert.equal(catalog.live.routes["a"]?.respond?.body, "good");
  assert.deepEqual(Object.keys(errors(catalog)).sort(), ["routes/a", "services/s"]);
  assert.equal(converger.revision, 2);
});

test("a worker that ends while it builds a change, for a reason of its own, costs the change nothing", async () => {
  const { catalog, converger, member, store } = await converging();
  let failures = 0;
  member.refuses = () =>
    ++failures === 1 ? { message: "every worker ended while it built this", failures: [] } : undefined;
  store(1, { "routes/a": answer("a") });
  await converger.settled();
  assert.deepEqual([running(catalog), errors(catalog), member.revision], [["routes/a"], {}, 1]);
});

test("workers that always name somebody else do not hold it up: all that changed is refused", async () => {
  const { catalog, converger, member, store } = await converging();
  member.refuses = () => refusalOf("routes/nobody");
  store(1, { "routes/a": answer(""), "routes/b": answer("") });
  await converger.settled();
  assert.deepEqual(running(catalog), []);
  assert.deepEqual(Object.keys(errors(catalog)).sort(), ["routes/a", "routes/b"]);
  assert.ok(member.prepared.length <= 7);
});

test("a deletion that the workers refuse is a problem, and is tried again with the next change", async () => {
  const { catalog, converger, converged, member, store } = await converging();
  store(1, { "routes/a": answer("a"), "routes/b": answer("b") });
  await converger.settled();
  member.refuses = ({ routes }) => (routes?.delete.includes("a") === true ? unnamed : undefined);
  store(2, { "routes/a": undefined });
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/a", "routes/b"]);
  assert.deepEqual(errors(catalog), { "routes/a": [`it cannot be deleted: ${unnamed.message}`] });
  assert.deepEqual([converged.at(-1)?.change, converger.revision], [undefined, 2]);
  member.refuses = () => undefined;
  store(3, { "routes/b": answer("c") });
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/b"]);
  assert.deepEqual(errors(catalog), {});
});

test("what keeps running because its successor was refused keeps what it refers to", async () => {
  const { catalog, converger, member, store } = await converging();
  store(1, { "services/s": service, "routes/a": route("s") });
  await converger.settled();
  member.refuses = ({ routes }) => (routes?.set["a"] === undefined ? undefined : refusalOf("routes/a"));
  store(2, { "services/s": undefined, "services/t": service, "routes/a": route("t") });
  await converger.settled();
  assert.deepEqual(running(catalog), ["routes/a", "services/s", "services/t"]);
  assert.deepEqual([...member.runs.keys()].sort(), running(catalog));
});
