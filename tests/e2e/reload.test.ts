import assert from "node:assert/strict";
import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import test from "node:test";
import { RawClient, request, requestText } from "../kit/client.ts";
import { echoUpstream } from "../kit/echo.ts";
import { documentText, launchGateway, simpleDocument, startGateway } from "../kit/gateway.ts";
import { waitFor } from "../kit/wait.ts";

const saying = (body: string): Record<string, unknown> => ({
  routes: { all: { match: { path: "/*" }, respond: { status: 200, body } } },
});

test("an edit of the file is live without a restart, and again", async (t) => {
  const gateway = await startGateway(t, { document: saying("one"), workers: 2 });
  assert.equal((await request(t, gateway.port, "/")).text, "one");
  for (const [how, body] of [
    ["write", "two"],
    ["replace", "three"],
    ["write", "four"],
  ] as const) {
    const before = await gateway.status();
    await gateway[how](saying(body));
    const after = await gateway.settled(before);
    assert.deepEqual(after.problems, []);
    // Every worker runs the new one: the flip is over when the status says so.
    for (let i = 0; i < 8; i++) assert.equal((await request(t, gateway.port, "/")).text, body);
  }
});

test("a file with mistakes changes nothing, says where they are, and is forgotten when they are gone", async (t) => {
  const gateway = await startGateway(t, { document: saying("good") });
  const broken = "routes:\n  all:\n    match: { path: /* }\n    respnd: { status: 200, body: bad }\n";
  const status = await gateway.reload(broken);
  const problem = status.problems.find(({ message }) => message.includes("respnd"));
  assert.deepEqual([problem?.line, problem?.column], [4, 5], JSON.stringify(status.problems));
  assert.match(gateway.logs.stderr + gateway.logs.stdout, /headgate\.yaml/);
  assert.equal((await request(t, gateway.port, "/")).text, "good");
  const mended = await gateway.reload(saying("mended"));
  assert.deepEqual(mended.problems, []);
  assert.equal((await request(t, gateway.port, "/")).text, "mended");
});

for (const [what, text, line] of [
  ["text that is not YAML", "routes:\n  a: [1\n", undefined],
  ["a route to a service that does not exist", "routes:\n  a:\n    match: { path: /a }\n    to: nobody\n", 4],
  [
    "settings that a middleware refuses",
    "routes:\n  a:\n    match: { path: /a }\n    use: [{ body-limit: lots }]\n    respond: { status: 200 }\n",
    4,
  ],
  ["an empty file", "", undefined],
] as const) {
  test(`${what} keeps the old configuration`, async (t) => {
    const gateway = await startGateway(t, { document: saying("good") });
    const status = await gateway.reload(text);
    assert.ok(status.problems.length > 0);
    if (line !== undefined) assert.equal(status.problems[0]?.line, line);
    assert.equal((await request(t, gateway.port, "/")).text, "good");
  });
}

test("a start from a file with mistakes ends with 1 and every one of them", async (t) => {
  const gateway = await launchGateway(t, { document: "routes:\n  a: { mtch: {}, to: x }\nservces: {}\n" });
  assert.equal((await gateway.exited).code, 1);
  const said = gateway.logs.stderr + gateway.logs.stdout;
  assert.match(said, /headgate\.yaml:2:\d+/);
  assert.match(said, /headgate\.yaml:3:1/);
});

test("a directory swapped by symbolic link, as Kubernetes does, is live", async (t) => {
  let root = "";
  const generation = async (name: string, body: string): Promise<void> => {
    await mkdir(path.join(root, name));
    await writeFile(path.join(root, name, "headgate.yaml"), documentText(saying(body)));
    await symlink(name, path.join(root, "..data_tmp"));
    await rename(path.join(root, "..data_tmp"), path.join(root, "..data"));
  };
  const gateway = await startGateway(t, {
    document: saying("never read"),
    prepare: async (directory) => {
      root = path.join(directory, "mounted");
      await mkdir(root);
      await generation("..one", "one");
      await symlink("..data/headgate.yaml", path.join(root, "headgate.yaml"));
      return path.join(root, "headgate.yaml");
    },
  });
  assert.equal((await request(t, gateway.port, "/")).text, "one");
  for (const body of ["two", "three"]) {
    const before = await gateway.status();
    await generation(`..${body}`, body);
    await gateway.settled(before);
    assert.equal((await request(t, gateway.port, "/")).text, body);
  }
});

test("an exchange in flight ends on the configuration it began with", async (t) => {
  const echo = await echoUpstream(t);
  const withHeader = (value: string, to: object): Record<string, unknown> => ({
    routes: { all: { match: { path: "/*" }, use: [{ headers: { response: { set: { "x-config": value } } } }], ...to } },
    services: { s: { instances: [{ address: echo.address }] } },
  });
  const gateway = await startGateway(t, { document: withHeader("old", { to: "s" }) });
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/slow"));
  await echo.arrived(1);
  await gateway.reload({ routes: withHeader("new", { respond: { status: 200, body: "new" } })["routes"] });
  assert.equal((await request(t, gateway.port, "/")).get("x-config"), "new");
  await echo.release();
  const answer = await client.response();
  assert.equal(answer.status, 200);
  assert.equal(answer.get("x-config"), "old");
  client.send(requestText("/"));
  assert.equal((await client.response()).get("x-config"), "new");
});

test("a change under load costs no request", async (t) => {
  const echo = await echoUpstream(t);
  const document = (n: number): Record<string, unknown> =>
    simpleDocument(echo.address, {
      routes: {
        all: { match: { path: "/*" }, to: "s" },
        extra: { match: { path: `/extra/${n}` }, respond: { status: 200 } },
      },
    });
  const gateway = await startGateway(t, { document: document(0), workers: 2 });
  let changing = true;
  const load = Array.from({ length: 4 }, async (_, client) => {
    const raw = await RawClient.connect(t, gateway.port);
    let answered = 0;
    for (; changing; answered++) {
      raw.send(requestText("/", { headers: { "x-id": `${client}-${answered}` } }));
      const response = await raw.response();
      assert.equal(response.status, 200);
      assert.equal(response.get("x-id"), `${client}-${answered}`);
    }
    return answered;
  });
  try {
    for (let n = 1; n <= 10; n++) await gateway.reload(document(n));
  } finally {
    changing = false;
  }
  assert.ok((await Promise.all(load)).every((answered) => answered > 0));
  assert.equal((await request(t, gateway.port, "/extra/10")).text, "");
});

test("a change of what is read once at start is reported as needing a restart", async (t) => {
  const gateway = await startGateway(t, { document: saying("one") });
  await gateway.reload({ ...saying("two"), gateway: { limits: { headers: 50 } } });
  await waitFor(() => /restart needed/i.test(gateway.logs.stderr + gateway.logs.stdout), {
    what: () => `"restart needed" in the log: ${gateway.logs.stderr}`,
  });
});
