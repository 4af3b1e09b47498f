import assert from "node:assert/strict";
import { test } from "node:test";
import { problem, run, unchanged } from "./cli.fixtures.ts";

const made = { ...unchanged, revision: 42, change: "c1", transactions: 1 };
const updated = {
  ...made,
  diff: [{ kind: "routes", name: "a", action: "update", changes: [{ path: "timeout", before: "1s", after: "2s" }] }],
};
const value = { match: { path: "/a" }, to: "s" };

test("put sends the resource alone, with its conditions, and prints what differs", async (t) => {
  const args = [
    "put",
    "route",
    "a",
    "-f",
    "a.yaml",
    "--if-match",
    "12",
    "--dry-run",
    "--message",
    "w y",
    "--wait",
    "1s",
  ];
  const { asked, code, out } = await run(t, { "PUT /v1/routes/a": [200, updated] }, args, {
    files: { "a.yaml": "match: { path: /a }\nto: ${TO:-s}\n" },
  });
  assert.equal(code, 0);
  const [{ query, headers, body }] = [asked[0] ?? assert.fail("nothing was asked")];
  assert.deepEqual([query, body], [{ dryRun: "true", message: "w y", wait: "1s" }, value]);
  assert.deepEqual([headers["if-match"], headers["x-headgate-author"]], ['"12"', "ann@host"]);
  assert.equal(out, '~ routes/a\n    timeout: "1s" -> "2s"\n1 updated: revision 42 (change c1)\n');
});

for (const [kind, name, file, content, sent] of [
  ["settings", "global", "a.yaml", "- request-id\n- cors\n", ["request-id", "cors"]],
  ["consumer", "ann", "a.json", '{"keys":["${KEY}"]}', { keys: ["$${SECRET}-0123456789"] }],
  ["plugins", "p", "p.ts", "export default `${A}`;\n", { source: "export default `${A}`;\n" }],
  ["plugins", "p", "p.yaml", "source: export default `${A} $${A}`;\n", { source: "export default `${A} $${A}`;" }],
  ["plugins", "p", "-", "export default 2;\n", { source: "export default 2;\n" }],
  ["plugins", "p", "-", '{"source": "export default 3;"}', { source: "export default 3;" }],
  ["routes", "a", "-", '{"match":{"path":"/a"},"to":"s"}', value],
] as const) {
  test(`put ${kind} ${name} -f ${file} sends ${JSON.stringify(sent)}`, async (t) => {
    const answers = Object.fromEntries(
      ["settings/global", "consumers/ann", "plugins/p", "routes/a"].map((path) => [
        `PUT /v1/${path}`,
        [200, made] as const,
      ]),
    );
    const { asked, code, err } = await run(t, answers, ["put", kind, name, "-f", file], {
      files: file === "-" ? {} : { [file]: content },
      stdin: content,
      env: { KEY: "${SECRET}-0123456789" },
    });
    assert.equal(code, 0, err);
    assert.deepEqual(asked[0]?.body, sent);
  });
}

test("put of what is not valid tells where, and sends nothing", async (t) => {
  const files = {
    "a.yaml": "match: { path: /a }\nto: s\ntimout: 1s\n",
    "list.yaml": "- a\n",
    "p.ts": "export default {\n  x: ;\n",
  };
  const route = await run(t, {}, ["put", "route", "a", "-f", "a.yaml"], { files });
  assert.deepEqual([route.code, route.asked], [1, []]);
  assert.match(route.err, /^a\.yaml:3:1: routes\.a\.timout: unknown key "timout"\n {4}did you mean "timeout"\?\n/);
  const list = await run(t, {}, ["put", "route", "a", "-f", "list.yaml"], { files });
  assert.match(list.err, /^list\.yaml:1:1: routes\.a: expected a map/);
  const plugin = await run(t, {}, ["put", "plugin", "p", "-f", "p.ts"], { files });
  assert.match(plugin.err, /^p\.ts:2:6: /);
});

test("what the gateway finds wrong in a resource is told with its place in the file", async (t) => {
  const problems = [{ severity: "error", path: "routes.a.to[0].service", message: 'there is no service "s"' }];
  const answers = { "PUT /v1/routes/a": problem(422, "No.", { problems }) };
  const { code, err } = await run(t, answers, ["put", "route", "a", "-f", "a.yaml"], {
    files: { "a.yaml": "match:\n  path: /a\nto: s\n" },
  });
  assert.equal(code, 1);
  assert.equal(err, 'a.yaml:3:5: routes.a.to: there is no service "s"\nheadgate: Nothing was changed: 1 error.\n');
});

test("a resource that somebody else changed is not overwritten: that ends in 1", async (t) => {
  const detail = "routes/a was changed meanwhile, at revision 13: read it again.";
  const answers = { "PUT /v1/routes/a": problem(412, detail, { code: "precondition-failed" }) };
  const args = ["put", "route", "a", "-f", "a.yaml", "--if-match", '"12"'];
  const { code, asked, err } = await run(t, answers, args, { files: { "a.yaml": "match: {}\nto: s\n" } });
  assert.deepEqual([code, asked[0]?.headers["if-match"], err], [1, '"12"', `headgate: ${detail}\n`]);
});

test("delete deletes, and ends in 1 where there is nothing", async (t) => {
  const gone = {
    ...made,
    diff: [{ kind: "routes", name: "a", action: "delete", changes: [{ path: "", before: {} }] }],
  };
  const args = ["delete", "routes", "a", "--if-match", "*"];
  const { asked, code, out } = await run(t, { "DELETE /v1/routes/a": [200, gone] }, args);
  assert.deepEqual([code, out], [0, "- routes/a\n1 deleted: revision 42 (change c1)\n"]);
  assert.deepEqual([asked[0]?.headers["if-match"], asked[0]?.body], ["*", undefined]);
  const answers = {
    "DELETE /v1/routes/a": problem(404, "There is no routes/a: nothing was deleted.", { code: "not-found" }),
  };
  const missing = await run(t, answers, ["delete", "routes", "a"]);
  assert.deepEqual([missing.code, missing.err], [1, "headgate: There is no routes/a: nothing was deleted.\n"]);
});

test("a write that a gateway does not run in time ends in 1", async (t) => {
  const waited = { complete: false, nodes: [{ id: "gw2", revision: 41, ok: false, reason: "It is behind." }] };
  const { code, out } = await run(t, { "DELETE /v1/routes/a": [200, { ...updated, waited }] }, [
    "delete",
    "route",
    "a",
    "--wait",
    "1s",
  ]);
  assert.equal(code, 1);
  assert.match(out, /gw2 does not run it: It is behind\./);
});

for (const [args, told] of [
  [["put", "rout", "a", "-f", "a.yaml"], /There is no kind "rout"; did you mean "route"\?/],
  [["put", "global", "a", "-f", "a.yaml"], /The global chain is "settings global"/],
  [["put", "settings", "local", "-f", "a.yaml"], /expected "global"/],
  [["delete", "routes", ".."], /The name "\.\." is not valid/],
  [["delete", "routes", "a", "--if-match", "new"], /--if-match is "new": give a revision/],
  [["put", "route", "a"], /required option '-f, --file <file>'/],
  [["delete", "routes"], /missing required argument 'name'/],
] as const) {
  test(`headgate ${args.join(" ")} is called wrongly: 2`, async (t) => {
    const { code, err, asked } = await run(t, {}, args, { files: { "a.yaml": "{}" } });
    assert.deepEqual([code, asked], [2, []]);
    assert.match(err, told);
  });
}
