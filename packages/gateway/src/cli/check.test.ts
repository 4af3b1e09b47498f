import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Command } from "commander";
import { middlewares } from "../middlewares/index.ts";
import { checkCommand, runCheck, runCheckWithPlugins } from "./check.ts";

/** Runs `check` in a directory that holds these files. */
async function check(t: TestContext, contents: Record<string, string>, args: readonly string[], json = false) {
  const cwd = await mkdtemp(join(tmpdir(), "headgate-check-"));
  t.after(() => rm(cwd, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(contents)) await writeFile(join(cwd, name), text);
  const written = { stdout: "", stderr: "" };
  const surroundings = {
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
    env: {},
    cwd,
    middlewares: new Map(),
  };
  return { ...written, code: runCheck(args, { ...surroundings, json }), surroundings, written };
}

const valid = `routes:\n  hello: { match: { path: /hello }, respond: { body: hi } }\n`;

test("a valid document ends in 0 and says what it holds", async (t) => {
  const { code, written } = await check(t, { "a.yaml": valid }, ["a.yaml"]);
  assert.deepEqual([code, written], [0, { stdout: "a.yaml: valid (1 route, 0 services)\n", stderr: "" }]);
});

test("each problem stands on a line with its place, and below it the way out", async (t) => {
  const { code, written } = await check(t, { "a.yaml": "rutes: {}\nroutes:\n  r: { respond: {} }\n" }, ["a.yaml"]);
  assert.equal(code, 1);
  assert.equal(
    written.stdout,
    'a.yaml:1:1: rutes: unknown key "rutes"\n    did you mean "routes"?\na.yaml: not valid (1 error)\n',
  );
});

test("a mistake in one place hides none in another: one run tells them all", async (t) => {
  const document = [
    "global: [requestid]",
    "routes:",
    "  a: { match: { path: a }, use: [{ rate-limit: { limt: 1 } }], to: usrs, timout: 1s }",
    "  b: { use: [{}, { cors: {}, jwt: {} }, { body-limit: lots }], to: users }",
    "services:",
    '  users: { instances: [{ address: "127.0.0.1" }] }',
  ];
  const { surroundings } = await check(t, { "a.yaml": document.join("\n") }, ["a.yaml"]);
  let stdout = "";
  const written = { write: (text: string) => (stdout += text) };
  assert.equal(runCheck(["a.yaml"], { ...surroundings, stdout: written, middlewares, json: true }), 1);
  const { problems } = JSON.parse(stdout) as { problems: { line: number; path: string }[] };
  assert.deepEqual(
    problems.map(({ line, path }) => `${line} ${path}`),
    [
      "1 global[0]",
      "3 routes.a.match.path",
      "3 routes.a.use[0].rate-limit.limit",
      "3 routes.a.use[0].rate-limit.limt",
      "3 routes.a.to",
      "3 routes.a.timout",
      "4 routes.b.use[0]",
      "4 routes.b.use[1]",
      "4 routes.b.use[2].body-limit",
      "6 services.users.instances[0].address",
    ],
  );
});

test("references are followed once every document stands by itself", async (t) => {
  const { code, written } = await check(t, { "a.yaml": "routes:\n  r: { to: x, use: [nothing] }\n" }, ["a.yaml"]);
  assert.equal(code, 1);
  assert.deepEqual(
    written.stdout.split("\n").filter((line) => line.startsWith("a.yaml:2")),
    [
      'a.yaml:2:12: routes.r.to: there is no service "x"',
      'a.yaml:2:21: routes.r.use[0]: there is no middleware "nothing"',
    ],
  );
});

test("warnings are told and end in 0", async (t) => {
  const { code, written } = await check(t, { "a.yaml": `${valid}services: { s: {} }\n` }, ["a.yaml"]);
  assert.equal(code, 0);
  assert.match(written.stdout, /^a\.yaml:3:13: services\.s: warning: has no instances/);
  assert.match(written.stdout, /a\.yaml: valid \(1 route, 1 service, 1 warning\)\n$/);
});

test("a file that is not there ends in 1 and says so", async (t) => {
  const { code, written } = await check(t, {}, ["none.yaml"]);
  assert.equal(code, 1);
  assert.match(written.stdout, /^none\.yaml: the file does not exist\n/);
});

test("without a file the command is called wrongly", async (t) => {
  const { code, written } = await check(t, {}, []);
  assert.deepEqual([code, written.stdout], [2, ""]);
  assert.match(written.stderr, /headgate check headgate\.yaml/);
});

test("-o json prints one object for programs", async (t) => {
  const { code, written } = await check(t, { "a.yaml": "rutes: {}\n" }, ["a.yaml"], true);
  assert.equal(code, 1);
  assert.deepEqual(JSON.parse(written.stdout), {
    valid: false,
    errors: 1,
    warnings: 0,
    problems: [
      {
        file: "a.yaml",
        line: 1,
        column: 1,
        path: "rutes",
        message: 'unknown key "rutes"',
        hint: 'did you mean "routes"?',
        severity: "error",
      },
    ],
  });
});

test("a plugin that cannot be built is a problem in its own file", async (t) => {
  const files = {
    "a.yaml": `${valid}plugins: { greet: ./greet.ts, gone: ./gone.ts }\n`,
    "greet.ts": "export default {\n  x: ;\n",
  };
  const { surroundings, written } = await check(t, files, ["a.yaml"]);
  written.stdout = "";
  assert.equal(await runCheckWithPlugins(["a.yaml"], surroundings), 1);
  assert.match(written.stdout, /greet\.ts:2:6: plugins\.greet: /);
  assert.match(written.stdout, /gone\.ts.*plugins\.gone: /);
});

test("the command hands its exit code on, and refuses a format it does not know", async (t) => {
  const { surroundings, written } = await check(t, { "a.yaml": valid }, ["a.yaml"]);
  const codes: number[] = [];
  for (const args of [["a.yaml"], ["none.yaml"], ["-o", "xml", "a.yaml"]]) {
    const program = new Command();
    checkCommand(program, surroundings, (code) => codes.push(code));
    await program.parseAsync(["check", ...args], { from: "user" });
  }
  assert.deepEqual(codes, [0, 1, 2]);
  assert.match(written.stderr, /text or json/);
});
