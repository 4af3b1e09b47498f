import assert from "node:assert/strict";
import { test } from "node:test";
import { problem, run, unchanged } from "./cli.fixtures.ts";

const route = "routes:\n  hello: { match: { path: /hello }, respond: { body: hi } }\n";
const written = { hello: { match: { path: "/hello" }, respond: { body: "hi" } } };
const made = {
  ...unchanged,
  revision: 42,
  change: "c1",
  transactions: 1,
  diff: [
    { kind: "routes", name: "hello", action: "create", changes: [{ path: "", after: {} }] },
    {
      kind: "routes",
      name: "users",
      action: "update",
      changes: [
        { path: "timeout", before: "5s", after: "10s" },
        { path: "priority", after: 1 },
        { path: "use", before: ["cors"] },
        { path: "jwt.secret", before: "[redacted]", after: "[redacted]" },
        { path: "source", before: "a\nb\n", after: "a\nb\nc\n" },
      ],
    },
    { kind: "services", name: "old", action: "delete", changes: [{ path: "", before: {} }] },
  ],
};

test("apply sends what documents say and prints what differs", async (t) => {
  const { asked, code, out, err } = await run(t, { "POST /v1/apply": [200, made] }, ["apply", "-f", "a.yaml"], {
    files: { "a.yaml": route },
  });
  assert.deepEqual([code, err], [0, ""]);
  assert.deepEqual(asked[0]?.body, { documents: [{ routes: written }] });
  assert.equal(asked[0]?.headers["x-headgate-author"], "ann@host");
  assert.deepEqual(out.split("\n"), [
    "+ routes/hello",
    "~ routes/users",
    '    timeout: "5s" -> "10s"',
    "    priority: added 1",
    '    use: removed ["cors"]',
    '    jwt.secret: "[redacted]" -> "[redacted]" (another one)',
    "    source: (3 lines) -> (4 lines)",
    "- services/old",
    "1 created, 1 updated, 1 deleted: revision 42 (change c1)",
    "",
  ]);
});

test("every flag of apply reaches the gateway; several files and standard input are one document", async (t) => {
  const flags = ["--dry-run", "--prune", "--wait", "10s", "--confirm", "60s", "--message", "why"];
  const args = ["apply", "-f", "a.yaml", "-", "-f", "b.json", ...flags];
  const { asked, code } = await run(t, { "POST /v1/apply": [200, unchanged] }, args, {
    files: { "a.yaml": route, "b.json": '{"services":{"s":{"instances":[{"address":"127.0.0.1:1"}]}}}' },
    stdin: "consumers: { ann: { groups: [gold] } }\n",
  });
  assert.equal(code, 0);
  assert.deepEqual(asked[0]?.body, {
    documents: [
      {
        routes: written,
        consumers: { ann: { groups: ["gold"] } },
        services: { s: { instances: [{ address: "127.0.0.1:1" }] } },
      },
    ],
    prune: true,
    dryRun: true,
    confirm: "60s",
    message: "why",
    wait: "10s",
  });
});

test("references are put in here, and texts that look like some are sent as texts", async (t) => {
  const body = '"${WHO} ${file:who.txt} $${WHO} ${client.ip}"';
  const document = `routes:\n  a:\n    match: { path: /a }\n    respond: { status: "\${STATUS:-201}", body: ${body} }\n`;
  const { asked, err } = await run(t, { "POST /v1/apply": [200, unchanged] }, ["apply", "-f", "a.yaml"], {
    files: { "a.yaml": document, "who.txt": "${file}\n" },
    env: { WHO: "${ANN}" },
  });
  assert.equal(err, "");
  const sent = "$${ANN} ${file} $${WHO} ${client.ip}";
  assert.deepEqual(asked[0]?.body, {
    documents: [{ routes: { a: { match: { path: "/a" }, respond: { status: 201, body: sent } } } }],
  });
});

test("plugins are sent as source, with what they import; the gateway's own settings are not sent", async (t) => {
  const { asked, code } = await run(t, { "POST /v1/apply": [200, unchanged] }, ["apply", "-f", "a.yaml"], {
    files: {
      "a.yaml": `gateway: { store: { etcd: { endpoints: ["http://127.0.0.1:1"], username: u, password: hush } } }\n${route}plugins:\n  one: ./one.ts\n  two: { path: ./two.ts }\n  three: { source: "export default 3;" }\n`,
      "one.ts": "export default `${A}`;\nconst A = 1;\n",
      "two.ts": 'import { n } from "./n.ts";\nexport default n;\n',
      "n.ts": "export const n: number = 7;\n",
    },
  });
  assert.equal(code, 0);
  const { documents } = asked[0]?.body as {
    documents: [{ gateway: object; plugins: Record<string, { source: string }> }];
  };
  const [{ gateway, plugins }] = documents;
  assert.deepEqual(gateway, {});
  assert.equal(plugins["one"]?.source, "export default `${A}`;\nconst A = 1;\n");
  assert.match(plugins["two"]?.source ?? "", /n = 7;/);
  assert.deepEqual(plugins["three"], { source: "export default 3;" });
});

for (const [what, files, told] of [
  ["a syntax error", { "a.yaml": "routes: [\n" }, /^a\.yaml:2:1: /],
  [
    "an unknown key",
    { "a.yaml": "routes:\n  a: { mtch: {} }\n" },
    /\na\.yaml:2:8: routes\.a\.mtch: unknown key "mtch"\n {4}did you mean "match"\?\n/,
  ],
  [
    "wrong settings",
    { "a.yaml": "global:\n  - rate-limit: { limt: 1 }\n" },
    /^a\.yaml:2:19: global\[0\]\.rate-limit\.limt: unknown key/m,
  ],
  ["a file that is not there", {}, /^a\.yaml: the file does not exist/],
  [
    "a variable that is not set",
    { "a.yaml": 'routes: { a: { respond: { body: "${NOPE}" }, match: {} } }' },
    /^a\.yaml:1:33: .*NOPE is not set/,
  ],
  [
    "a plugin that cannot be built",
    { "a.yaml": `${route}plugins: { p: ./p.ts }\n`, "p.ts": "export default {\n  x: ;\n" },
    /^p\.ts:2:6: plugins\.p: /,
  ],
  [
    "a secret that was hidden",
    { "a.yaml": "consumers:\n  ann: { keys: ['[redacted]'] }\n" },
    /^a\.yaml:2:17: consumers\.ann\.keys\[0\]: \[redacted\] stands in the place of a secret/,
  ],
] as const) {
  test(`${what} is told with its place and nothing is sent`, async (t) => {
    const { asked, code, out, err } = await run(t, {}, ["apply", "-f", "a.yaml", "-o", "json"], { files });
    assert.deepEqual([code, asked], [1, []]);
    assert.match(err, told);
    assert.match(err, /headgate: Nothing was sent: \d errors?\.\n$/);
    const answer = JSON.parse(out) as { status: number; problems: unknown[] };
    assert.equal(answer.status, 422);
    assert.ok(answer.problems.length > 0);
  });
}

test("what documents refer to may be in the store: only the gateway judges that", async (t) => {
  const document = `routes:\n  a: { match: { path: /a }, use: [greet, { greet: { loud: true } }, stored], to: users }\nmiddlewares: { m: cors }\n`;
  const { code, err } = await run(t, { "POST /v1/apply": [200, unchanged] }, ["apply", "-f", "a.yaml"], {
    files: { "a.yaml": document },
  });
  assert.deepEqual([code, err], [0, ""]);
});

test("problems that the gateway finds are told with their places in the files", async (t) => {
  const problems = [
    {
      severity: "error",
      path: "routes.a.to[0].service",
      message: 'there is no service "t0psecret"',
      hint: 'did you mean "users"?',
    },
    { severity: "error", path: 'routes["b.c"].use[0]', message: "is not there" },
    {
      severity: "error",
      path: "routes.other.to",
      message: "would go nowhere",
      key: "/headgate/routes/other",
      revision: 7,
    },
    { severity: "warning", path: "global[0]", message: "does nothing" },
  ];
  const document =
    'global:\n  - request-id\nroutes:\n  a: { match: {}, to: "${TO}" }\n  b.c: { match: { path: /b }, use: [x], to: s }\n';
  const answers = { "POST /v1/apply": problem(422, "No.", { problems }) };
  const options = { files: { "a.yaml": document }, env: { TO: "t0psecret" } };
  const { code, out, err } = await run(t, answers, ["apply", "-f", "a.yaml", "-o", "json"], options);
  assert.equal(code, 1);
  assert.deepEqual(err.split("\n"), [
    'a.yaml:4:23: routes.a.to: there is no service "${TO}"',
    '    did you mean "users"?',
    'a.yaml:5:37: routes["b.c"].use[0]: is not there',
    "/headgate/routes/other (revision 7): routes.other.to: would go nowhere",
    "a.yaml:2:5: global[0]: warning: does nothing",
    "headgate: Nothing was changed: 3 errors.",
    "",
  ]);
  const [first] = (JSON.parse(out) as { problems: { file: string; line: number }[] }).problems;
  assert.deepEqual([first?.file, first?.line], ["a.yaml", 4]);
});

test("warnings, routes that nothing reaches, transactions and the time to confirm are told", async (t) => {
  const answer = {
    ...made,
    diff: made.diff.slice(0, 1),
    transactions: 3,
    warnings: [{ severity: "warning", path: "services.s", message: "has no instances" }],
    unreachable: [
      { route: "a", alternative: 0, by: "b" },
      { route: "a", alternative: 1, by: "c" },
    ],
    confirm: { change: "c1", before: "2026-01-01T00:01:00.000Z" },
  };
  const { out } = await run(t, { "POST /v1/apply": [200, answer] }, ["apply", "-f", "a.yaml"], {
    files: { "a.yaml": `${route}services:\n  s: {}\n` },
  });
  const [, warned, , ...rest] = out.split("\n");
  assert.equal(warned, "a.yaml:4:3: services.s: warning: has no instances");
  assert.deepEqual(
    rest.filter((line) => !line.startsWith("    ")),
    [
      "warning: no request reaches a any more: b takes them all",
      "warning: no request reaches a, alternative 2, any more: c takes them all",
      "1 created in 3 transactions: revision 42 (change c1)",
      "It takes itself back at 2026-01-01 00:01:00Z unless you keep it: headgate confirm c1",
      "",
    ],
  );
});

test("apply --wait ends in 1 and names each gateway that does not run it", async (t) => {
  const waited = {
    complete: false,
    nodes: [
      { id: "gw1", revision: 42, ok: true },
      { id: "gw2", revision: 41, ok: false, reason: "It still ran revision 41 after 10.0 s." },
      { id: "gw3", revision: 42, ok: false, reason: "It rejected routes/hello: no." },
    ],
  };
  const files = { "a.yaml": route };
  const args = ["apply", "-f", "a.yaml", "--wait", "10s"];
  const behind = await run(t, { "POST /v1/apply": [200, { ...made, waited }] }, args, { files });
  assert.equal(behind.code, 1);
  assert.match(
    behind.out,
    /\ngw2 does not run it: It still ran revision 41 after 10\.0 s\.\ngw3 does not run it: It rejected routes\/hello: no\.\n$/,
  );
  const nobody = { complete: false, nodes: [], reason: "No gateway reports to this store: nothing runs it yet." };
  const alone = await run(t, { "POST /v1/apply": [200, { ...made, waited: nobody }] }, args, { files });
  assert.equal(alone.code, 1);
  assert.match(alone.out, /\nNo gateway reports to this store/);
  const well = { complete: true, nodes: waited.nodes.slice(0, 1) };
  const all = await run(t, { "POST /v1/apply": [200, { ...made, waited: well }] }, args, { files });
  assert.equal(all.code, 0);
  assert.match(all.out, /\nThe gateway runs it\.\n$/);
});

test("with -o json the gateway's answer stands alone on standard output", async (t) => {
  const { code, out, err } = await run(t, { "POST /v1/apply": [200, made] }, ["apply", "-f", "a.yaml", "-o", "json"], {
    files: { "a.yaml": `${route}services: { s: {} }\n` },
  });
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), made);
  assert.match(err, /^a\.yaml:3:13: services\.s: warning: has no instances/);
});

for (const [what, answer, code, said] of [
  ["nothing", unchanged, 0, /^Nothing differs from revision 41\.\n$/],
  [
    "something",
    { ...made, dryRun: true, change: null },
    1,
    /1 to create, 1 to update, 1 to delete: nothing was changed/,
  ],
] as const) {
  test(`diff where ${what} differs ends in ${code}`, async (t) => {
    const files = { "a.yaml": route };
    const found = await run(t, { "POST /v1/apply": [200, answer] }, ["diff", "-f", "a.yaml", "--prune"], { files });
    assert.equal(found.code, code);
    assert.deepEqual(found.asked[0]?.body, { documents: [{ routes: written }], prune: true, dryRun: true });
    assert.match(found.out, said);
  });
}

test("what is called wrongly ends in 2 and asks nobody", async (t) => {
  const files = { "a.yaml": route };
  for (const args of [
    ["apply"],
    ["diff"],
    ["apply", "-f", "a.yaml", "--wait", "soon"],
    ["apply", "-f", "a.yaml", "--confirm", "1"],
    ["apply", "-f", "a.yaml", "-o", "xml"],
    ["apply", "-f", "a.yaml", "--dryrun"],
  ]) {
    const { code, err, asked } = await run(t, {}, args, { files });
    assert.deepEqual([code, asked], [2, []], args.join(" "));
    assert.notEqual(err, "");
  }
});
