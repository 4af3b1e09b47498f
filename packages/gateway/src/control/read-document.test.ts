import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { z } from "zod";
import { systemTimers } from "../core/timers.ts";
import { defineMiddleware } from "../proxy/middleware.ts";
import { DocumentReader } from "./read-document.ts";

const probe = defineMiddleware({
  name: "probe",
  config: z.strictObject({ depth: z.int().default(1) }),
  build: () => (_exchange, next) => next(),
});
const table = new Map([["probe", probe]]);

async function reading(t: TestContext, files: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), "headgate-read-"));
  t.after(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const file = join(folder, "headgate.yaml");
  const reader = new DocumentReader({ file, env: {}, settings: [], defaults: [], table, timers: systemTimers });
  return { folder, file, reader, read: () => reader.read() };
}

test("a document is read with its references and the settings of its steps judged, each problem in its place", async (t) => {
  const { file, read } = await reading(t, {
    "headgate.yaml": "routes:\n  a:\n    use:\n      - probe: { depth: deep }\n    to: nobody\n",
  });
  const { value, problems } = await read();
  assert.equal(value, undefined);
  assert.deepEqual(
    problems.map(({ severity, path, file: where, line }) => [severity, path, where, line]),
    [
      ["error", "routes.a.use[0].probe.depth", file, 4],
      ["error", "routes.a.to", file, 5],
    ],
  );
});

test("a plugin is bundled with what it imports, and all its files are watched", async (t) => {
  const { folder, read } = await reading(t, {
    "headgate.yaml": "plugins: { mine: ./mine.ts }\nglobal: [mine]\nroutes: { a: { respond: {} } }\n",
    "words.ts": "export const word: string = 'moin';\n",
    "mine.ts": `import { z } from "zod";
      import { defineMiddleware } from "headgate";
      import { word } from "./words.ts";
      export default defineMiddleware({
        name: "mine",
        config: z.strictObject({}),
        build: () => (exchange, next) => { exchange.attributes.set("word", word); return next(); },
      });\n`,
  });
  const first = await read();
  assert.deepEqual(first.problems, []);
  const plugin = first.value?.resources.plugins["mine"];
  assert.match(plugin?.module ?? "", /moin/);
  for (const name of ["headgate.yaml", "mine.ts", "words.ts"])
    assert.ok(first.paths.includes(join(folder, name)), name);
  await writeFile(join(folder, "words.ts"), "export const word: string = 'hallo';\n");
  const second = await read();
  assert.notEqual(second.value?.resources.plugins["mine"]?.sha256, plugin?.sha256);
});

test("a plugin that does not build is a problem with its own file and line, and stays watched", async (t) => {
  const { folder, read } = await reading(t, {
    "headgate.yaml": "plugins: { mine: ./mine.ts }\nroutes: { a: { use: [mine], respond: {} } }\n",
    "mine.ts": "export default {\n  nothing\n\n",
  });
  const { value, problems, paths } = await read();
  assert.equal(value, undefined);
  assert.equal(problems[0]?.file, join(folder, "mine.ts"));
  assert.equal(problems[0].path, "plugins.mine");
  assert.ok((problems[0].line ?? 0) >= 2);
  assert.ok(paths.includes(join(folder, "mine.ts")));
});

test("settings that a plugin refuses are problems of the place where it is used", async (t) => {
  const { file, read } = await reading(t, {
    "headgate.yaml": [
      "plugins:",
      "  mine:",
      "    source: |",
      '      import { defineMiddleware, z } from "headgate";',
      "      export default defineMiddleware({",
      '        name: "mine", config: z.strictObject({ depth: z.int().default(1) }), build: () => (_, next) => next(),',
      "      });",
      "routes:",
      "  a:",
      "    use:",
      "      - mine",
      "      - mine: { dept: 2 }",
      "    respond: {}",
    ].join("\n"),
  });
  const { value, problems } = await read();
  assert.equal(value, undefined);
  assert.deepEqual(
    problems.map(({ path, file: where, line, hint }) => [path, where, line, hint]),
    [["routes.a.use[1].mine.dept", file, 12, 'did you mean "depth"?']],
  );
});

test("where a part of the document stands is told for explaining", async (t) => {
  const { file, reader, read } = await reading(t, { "headgate.yaml": "routes:\n  a: { respond: {} }\n" });
  await read();
  assert.equal(reader.origins(["routes", "a"]), `${file}:2:3`);
});
