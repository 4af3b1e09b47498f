import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Timers } from "../core/timers.ts";
import { GatewayError } from "../core/errors.ts";
import { loadPlugin } from "../proxy/load-plugin.ts";
import { runMiddleware } from "../testing.ts";
import { bundlePlugin, PluginError, prunePluginCache, tryPlugin } from "./plugins.ts";

/** Writes files into a folder of their own, outside any node_modules; returns the folder. */
function folder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const made = mkdtempSync(join(tmpdir(), "headgate-plugin-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(made, name)), { recursive: true });
    writeFileSync(join(made, name), text);
  }
  return made;
}

const greet = `
  import { defineMiddleware, GatewayError, z } from "headgate";
  import { z as sameZ } from "zod";
  import { duration } from "@headgate/schema";
  import { word } from "./words.ts";
  export default defineMiddleware({
    name: "greet",
    config: z.strictObject({ greeting: sameZ.string().default(word), wait: duration().optional() }),
    build({ greeting }: { greeting: string }) {
      return (exchange, next) => {
        if (exchange.request.path === "/no") throw new GatewayError("HG_FORBIDDEN");
        exchange.request.headers.set("x-greeting", greeting);
        return next();
      };
    },
  });`;

const never: Timers = { after: () => () => undefined, every: () => () => undefined };
/** Time is up as soon as it starts to count. */
const atOnce: Timers = {
  after: (_, action) => {
    queueMicrotask(action);
    return () => undefined;
  },
  every: () => () => undefined,
};

async function failure(work: Promise<unknown>): Promise<PluginError> {
  const error: unknown = await work.then(
    () => assert.fail("it was accepted"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof PluginError, String(error));
  return error;
}

test("a plugin in any folder runs with the gateway's own headgate, zod and schema", async (t) => {
  const made = folder(t, { "greet.ts": greet, "words.ts": 'export const word: string = "hello";' });
  const plugin = await bundlePlugin(join(made, "greet.ts"));
  assert.deepEqual([...plugin.inputs].sort(), [join(made, "greet.ts"), join(made, "words.ts")]);
  assert.deepEqual(plugin.warnings, []);
  assert.equal(await tryPlugin(plugin, join(made, "greet.ts"), join(made, "cache"), never), "greet");
  const definition = await loadPlugin(plugin.module, plugin.sha256, join(made, "cache"));
  const greeted = await runMiddleware(definition, {});
  assert.equal(greeted.exchange.request.headers.get("x-greeting"), "hello");
  const refused = await runMiddleware(definition, {}, { url: "/no" });
  assert.ok(refused.error instanceof GatewayError);
  assert.equal(refused.response.status, 403);
});

test("the digest changes with any file it is made from, and with nothing else", async (t) => {
  const one = folder(t, { "greet.ts": greet, "words.ts": 'export const word = "hello";' });
  const before = await bundlePlugin(join(one, "greet.ts"));
  assert.equal((await bundlePlugin(join(one, "greet.ts"))).sha256, before.sha256);
  writeFileSync(join(one, "words.ts"), 'export const word = "bye";');
  assert.notEqual((await bundlePlugin(join(one, "greet.ts"))).sha256, before.sha256);
});

test("a package written for require is bundled and still reaches node's modules", async (t) => {
  const made = folder(t, {
    "node_modules/old/index.js": 'const name = "path"; exports.join = require("node:" + name).join;',
    "greet.ts": `import { z } from "headgate"; import old from "old";
      export default { name: old.join("greet"), config: z.strictObject({}), build: () => () => undefined };`,
  });
  const plugin = await bundlePlugin(join(made, "greet.ts"));
  assert.equal(await tryPlugin(plugin, join(made, "greet.ts"), join(made, "cache"), never), "greet");
});

test("mistakes are reported with file, line and column, and the files to watch for their repair", async (t) => {
  const table: [Record<string, string>, string, number, number, RegExp][] = [
    [{ "greet.ts": "const a = 1;\nexport default {{" }, "greet.ts", 2, 17, /Expected identifier/],
    [{ "greet.ts": 'import "./more.ts";', "more.ts": "\n  let = = 3" }, "more.ts", 2, 9, /Unexpected|Expected/],
    [{ "greet.ts": 'import "./gone.ts";' }, "greet.ts", 1, 8, /Could not resolve "\.\/gone\.ts"/],
    [{ "greet.ts": 'import "headgate/internal";' }, "greet.ts", 1, 8, /not part of the gateway/],
  ];
  for (const [files, file, line, column, message] of table) {
    const made = folder(t, files);
    const error = await failure(bundlePlugin(join(made, "greet.ts")));
    const [problem] = error.problems;
    assert.match(problem?.message ?? "", message);
    assert.deepEqual([problem?.file, problem?.line, problem?.column], [join(made, file), line, column]);
    assert.ok(error.inputs.includes(join(made, "greet.ts")));
    assert.ok(error.inputs.includes(join(made, file)));
  }
});

test("a file that is not there is a problem of that file", async (t) => {
  const path = join(folder(t, {}), "greet.ts");
  const error = await failure(bundlePlugin(path));
  assert.match(error.message, /Could not resolve/);
  assert.equal(error.problems[0]?.file, path);
});

test("what a plugin does wrong while it loads is a problem, with its place where that is known", async (t) => {
  const table: [string, RegExp, number | undefined][] = [
    ["const x: number = 1;\n\nthrow new Error(`no ${x}`);", /failed while it was loaded: Error: no 1/, 3],
    ["export const name = 1;", /no default export/, undefined],
    ["process.exit(0);", /ended its thread/, undefined],
    ["await new Promise(() => {});", /waits for what never comes/, undefined],
    ['queueMicrotask(() => { throw new Error("late"); }); await new Promise(() => {});', /late/, undefined],
  ];
  for (const [text, message, line] of table) {
    const made = folder(t, { "greet.ts": text });
    const path = join(made, "greet.ts");
    const error = await failure(tryPlugin(await bundlePlugin(path), path, join(made, "cache"), never));
    assert.match(error.message, message);
    assert.deepEqual([error.problems[0]?.file, error.problems[0]?.line], [path, line], text);
  }
});

test("a plugin that loops while it loads is ended when its time is up", async (t) => {
  const made = folder(t, { "greet.ts": "for (;;);" });
  const path = join(made, "greet.ts");
  const error = await failure(tryPlugin(await bundlePlugin(path), path, join(made, "cache"), atOnce));
  assert.match(error.message, /does not finish loading within 2 s/);
});

test("the cache keeps what is in use and the newest of the rest", async (t) => {
  const names = Array.from({ length: 53 }, (_, i) => i.toString(16).padStart(64, "0"));
  const made = folder(t, Object.fromEntries([...names.map((name) => [`${name}.mjs`, ""]), ["other.txt", ""]]));
  for (const [i, name] of names.entries()) utimesSync(join(made, `${name}.mjs`), 1000 + i, 1000 + i);
  await prunePluginCache(made, new Set([names[0] ?? ""]));
  const left = new Set(readdirSync(made));
  assert.equal(left.size, 52);
  assert.ok(left.has("other.txt"));
  assert.ok(left.has(`${names[0]}.mjs`));
  assert.equal(left.has(`${names[1]}.mjs`), false);
  assert.equal(left.has(`${names[2]}.mjs`), false);
  assert.ok(left.has(`${names[3]}.mjs`));
});
