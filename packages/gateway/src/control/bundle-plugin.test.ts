import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { z as zod } from "zod";
import { GatewayError } from "../core/errors.ts";
import { loadPlugin } from "../proxy/load-plugin.ts";
import { runMiddleware } from "../testing.ts";
import { bundlePlugin, flattenPlugin } from "./bundle-plugin.ts";
import type { WrittenPlugin } from "./bundle-plugin.ts";
import { folder, greet, pluginText } from "./plugin.fixtures.ts";
import { PluginError } from "./plugin-problem.ts";

async function failure(work: Promise<unknown>): Promise<PluginError> {
  const error: unknown = await work.then(
    () => assert.fail("it was accepted"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof PluginError, String(error));
  return error;
}

const text = (source: string): WrittenPlugin => ({ name: "greet", source });

async function load(written: WrittenPlugin) {
  const { module, sha256 } = await bundlePlugin(written);
  return loadPlugin(module, sha256);
}

/** What the settings of a plugin become: a way to see values of its module. */
async function value(source: string): Promise<unknown> {
  const definition = await load(text(source));
  return definition.config.parse({});
}

test("a plugin in any folder runs with the gateway's own headgate, zod and schema", async (t) => {
  const made = folder(t, { "greet.ts": greet, "words.ts": 'export const word: string = "hello";' });
  const plugin = await bundlePlugin({ path: join(made, "greet.ts") });
  assert.deepEqual([...plugin.inputs].sort(), [join(made, "greet.ts"), join(made, "words.ts")]);
  assert.deepEqual(plugin.warnings, []);
  const definition = await loadPlugin(plugin.module, plugin.sha256);
  assert.ok(definition.config instanceof zod.ZodObject);
  const greeted = await runMiddleware(definition, {});
  assert.equal(greeted.exchange.request.headers.get("x-greeting"), "hello");
  const refused = await runMiddleware(definition, {}, { url: "/no" });
  assert.ok(refused.error instanceof GatewayError);
  assert.equal(refused.response.status, 403);
});

test("every form of import gives what it gives without a bundler", async () => {
  const seen = await value(`
    import z, { z as named, string } from "zod";
    import * as all from "zod";
    import * as headgate from "headgate";
    import type { Exchange } from "headgate";
    import fs, { existsSync } from "node:fs";
    import * as path from "path";
    const later = await import("node:os");
    const again = await import("zod");
    const seen = [
      z === named, all.z === named, again.z === named, again.default === z, string === z.string,
      headgate.z === named, Object.keys(all).includes("strictObject"),
      fs.existsSync === existsSync, path.join("a", "b"), typeof later.default.cpus, this,
    ];
    export default headgate.defineMiddleware({
      name: "greet",
      config: z.preprocess(() => seen, z.any()),
      build: () => (exchange: Exchange, next) => next(),
    });`);
  assert.deepEqual(seen, [true, true, true, true, true, true, true, true, "a/b", "function", undefined]);
});

test("the digest is that of the code: the same from any folder, another with any file it is made from", async (t) => {
  const one = folder(t, { "greet.ts": greet, "words.ts": 'export const word = "hello";' });
  const two = folder(t, { "greet.ts": greet, "words.ts": 'export const word = "hello";' });
  const path = join(one, "greet.ts");
  const before = await bundlePlugin({ path });
  assert.equal((await bundlePlugin({ path: join(two, "greet.ts") })).sha256, before.sha256);
  writeFileSync(join(one, "words.ts"), 'export const word = "bye";');
  assert.notEqual((await bundlePlugin({ path })).sha256, before.sha256);
});

test("a package written for require is bundled and still reaches node's modules", async (t) => {
  const made = folder(t, {
    "node_modules/old/index.js": 'const name = "path"; exports.join = require("node:" + name).join;',
    "greet.ts": `import { z } from "headgate"; import old from "old";
      export default { name: old.join("greet"), config: z.strictObject({}), build: () => () => undefined };`,
  });
  assert.equal((await load({ path: join(made, "greet.ts") })).name, "greet");
});

test("a plugin may be a CommonJS file", async (t) => {
  const made = folder(t, {
    "greet.cjs": `const { z } = require("zod");
      module.exports = { name: "greet", config: z.strictObject({}), build: () => () => undefined };`,
  });
  assert.equal((await load({ path: join(made, "greet.cjs") })).name, "greet");
});

test("a file knows its own place", async (t) => {
  const source = pluginText({
    config: "z.preprocess(() => [import.meta.url, import.meta.filename, import.meta.dirname], z.any())",
  });
  const made = folder(t, { "greet.ts": source });
  const path = join(made, "greet.ts");
  const definition = await load({ path });
  assert.deepEqual(definition.config.parse({}), [pathToFileURL(path).href, path, made]);
});

test("mistakes in files are reported with file, line and column, and the files to watch for their repair", async (t) => {
  const table: [Record<string, string>, string, number, number, RegExp][] = [
    [{ "greet.ts": "const a = 1;\nexport default {{" }, "greet.ts", 2, 17, /Expected identifier/],
    [{ "greet.ts": 'import "./more.ts";', "more.ts": "\n  let = = 3" }, "more.ts", 2, 9, /Unexpected|Expected/],
    [{ "greet.ts": 'import "./gone.ts";' }, "greet.ts", 1, 8, /Could not resolve "\.\/gone\.ts"/],
    [{ "greet.ts": 'import "headgate/internal";' }, "greet.ts", 1, 8, /not part of the gateway/],
    [{ "greet.ts": "\nexport default import.meta.env;" }, "greet.ts", 2, 16, /url, filename and dirname only/],
  ];
  for (const [files, file, line, column, message] of table) {
    const made = folder(t, files);
    const error = await failure(bundlePlugin({ path: join(made, "greet.ts") }));
    const [problem] = error.problems;
    assert.match(problem?.message ?? "", message);
    assert.deepEqual([problem?.file, problem?.line, problem?.column], [join(made, file), line, column]);
    assert.ok(error.inputs.includes(join(made, "greet.ts")));
    assert.ok(error.inputs.includes(join(made, file)));
  }
});

test("mistakes in text that came from a store are reported with a way out", async () => {
  const table: [string, number, number, RegExp, RegExp | undefined][] = [
    ["const a = 1;\nexport default {{", 2, 17, /Expected identifier/, undefined],
    [
      'import { defineMidleware } from "headgate";\ndefineMidleware();',
      1,
      10,
      /No matching export in "headgate"/,
      /defineMiddleware/,
    ],
    ['import "./words.ts";', 1, 8, /"\.\/words\.ts" cannot be imported/, /`headgate put` bundles/],
    ['import _ from "lodash"; _()', 1, 15, /"lodash" cannot be imported/, /`headgate put` bundles/],
    ['const a = require("/etc/passwd"); export default a;', 1, 19, /cannot be imported/, /bundle it first/],
    ["export default import.meta.url;", 1, 16, /import\.meta has no meaning/, /into its text/],
  ];
  for (const [source, line, column, message, hint] of table) {
    const [problem] = (await failure(bundlePlugin(text(source)))).problems;
    assert.match(problem?.message ?? "", message);
    assert.deepEqual([problem?.file, problem?.line, problem?.column], ["plugins/greet.ts", line, column], source);
    if (hint === undefined) assert.equal(problem?.hint, undefined);
    else assert.match(problem?.hint ?? "", hint);
  }
});

test("a file that is not there is a problem of that file", async (t) => {
  const path = join(folder(t, {}), "greet.ts");
  const error = await failure(bundlePlugin({ path }));
  assert.equal(error.message, `Could not resolve ${JSON.stringify(path)}`);
  assert.equal(error.problems[0]?.file, path);
});

test("text for a store is the file itself, or one module where it imports files of its own", async (t) => {
  const single = "// as written\n" + pluginText();
  const made = folder(t, { "one.ts": single, "greet.ts": greet, "words.ts": 'export const word: string = "hello";' });
  assert.equal((await flattenPlugin(join(made, "one.ts"))).source, single);
  const flat = await flattenPlugin(join(made, "greet.ts"));
  assert.equal(flat.inputs.length, 2);
  const greeted = await runMiddleware(await load(text(flat.source)), {});
  assert.equal(greeted.exchange.request.headers.get("x-greeting"), "hello");
  const error = await failure(flattenPlugin(join(made, "gone.ts")));
  assert.equal(error.problems[0]?.file, join(made, "gone.ts"));
});
