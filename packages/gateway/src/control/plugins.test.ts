import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemTimers } from "../core/timers.ts";
import { PluginBuilder } from "./plugins.ts";
import { folder, greet, pluginText } from "./plugin.fixtures.ts";

function builder(t: TestContext): PluginBuilder {
  const plugins = new PluginBuilder({ timers: systemTimers });
  t.after(() => plugins.close());
  return plugins;
}

test("a plugin's text becomes a resource that workers can load, with the problems of its settings", async (t) => {
  const plugins = builder(t);
  const source = pluginText({ config: "z.strictObject({ times: z.int().max(3).default(1) })" });
  const built = await plugins.build("greet", { source }, [undefined, { times: 5 }, { tims: 1 }, { times: 2 }]);
  assert.deepEqual(built.problems, []);
  assert.equal(built.middlewareName, "greet");
  assert.equal(built.resource.source, source);
  assert.match(built.resource.sha256 ?? "", /^[0-9a-f]{64}$/);
  assert.deepEqual(built.inputs, []);
  assert.deepEqual(
    built.settingsProblems.map((problems) => problems.map(({ path, message }) => `${path.join(".")}: ${message}`)),
    [[], ["times: must be at most 3"], ['tims: unknown key "tims"'], []],
  );
});

test("a step that throws while it is built, or is none, is a problem of those settings", async (t) => {
  const build = `({ mode }) => { if (mode === "bad") throw new Error("mode must not be bad"); return mode === "none" ? 5 : { handle: (_, next) => next() }; }`;
  const source = pluginText({ config: "z.strictObject({ mode: z.string() })", build });
  const built = await builder(t).build("greet", { source }, [{ mode: "good" }, { mode: "bad" }, { mode: "none" }]);
  const [good, bad, none] = built.settingsProblems;
  assert.deepEqual(good, []);
  assert.deepEqual(bad?.[0]?.path, []);
  assert.match(bad[0].message, /mode must not be bad/);
  assert.match(none?.[0]?.message ?? "", /build must return the step/);
});

test("what passed is not tried again: neither the same code nor the same settings", async (t) => {
  const plugins = builder(t);
  const made = folder(t, {});
  const tries = join(made, "tries");
  const source = pluginText({ before: `import fs from "node:fs"; fs.appendFileSync(${JSON.stringify(tries)}, "x");` });
  const count = (): number => readFileSync(tries, "utf8").length;
  await plugins.build("greet", { source }, [{}]);
  await plugins.build("greet", { source }, [{}, undefined]);
  await plugins.build("greet", { source });
  assert.equal(count(), 1);
  const other = await plugins.build("greet", { source }, [{}, { wrong: 1 }]);
  assert.equal(count(), 2);
  assert.deepEqual(
    other.settingsProblems.map((problems) => problems.length),
    [0, 1],
  );
  await plugins.build("greet", { source }, [{ wrong: 1 }]);
  assert.equal(count(), 2);
});

test("what cannot be built is a problem with its place, and the resource has no code", async (t) => {
  const plugins = builder(t);
  const throwing = await plugins.build("greet", { source: "const x: number = 1;\n\nthrow new Error(`no ${x}`);" });
  assert.deepEqual(throwing.problems, [
    {
      severity: "error",
      message: "the plugin failed while it was loaded: Error: no 1",
      file: "plugins/greet.ts",
      line: 3,
      column: 7,
    },
  ]);
  assert.equal(throwing.resource.module, undefined);
  assert.deepEqual(throwing.settingsProblems, []);
  const made = folder(t, { "greet.ts": 'import "./gone.ts";' });
  const file = join(made, "greet.ts");
  const missing = await plugins.build("greet", { path: file });
  assert.equal(missing.problems[0]?.file, file);
  assert.ok(missing.inputs.includes(file));
});

test("a plugin's file is made into a resource, and its files are told", async (t) => {
  const made = folder(t, { "greet.ts": greet, "words.ts": 'export const word = "hello";' });
  const built = await builder(t).build("greet", { path: join(made, "greet.ts") }, [{}, { greeting: 5 }]);
  assert.deepEqual(built.problems, []);
  assert.deepEqual([...built.inputs].sort(), [join(made, "greet.ts"), join(made, "words.ts")]);
  assert.deepEqual(
    built.settingsProblems.map((problems) => problems.map(({ path }) => path)),
    [[], [["greeting"]]],
  );
});

test("several are built at once, one trial after the other", async (t) => {
  const plugins = builder(t);
  const names = ["one", "two", "three"];
  const built = await Promise.all(names.map((name) => plugins.build(name, { source: pluginText({ name }) })));
  assert.deepEqual(
    built.map(({ middlewareName }) => middlewareName),
    names,
  );
});

test("what is kept ready for the next plugin does not keep the process alive", async (t) => {
  const program = `
    import { systemTimers } from ${JSON.stringify(new URL("../core/timers.ts", import.meta.url).href)};
    import { PluginBuilder } from ${JSON.stringify(new URL("./plugins.ts", import.meta.url).href)};
    const plugins = new PluginBuilder({ timers: systemTimers });
    const { problems } = await plugins.build("greet", { source: ${JSON.stringify(pluginText())} });
    process.exitCode = problems.length;
    setTimeout(() => process.exit(9), 30_000).unref();`;
  const made = folder(t, { "program.mjs": program });
  const child = spawn(process.execPath, [join(made, "program.mjs")], { stdio: "inherit" });
  t.after(() => child.kill("SIGKILL"));
  const [code] = (await once(child, "exit")) as [number | null]; // as documented
  assert.equal(code, 0);
});
