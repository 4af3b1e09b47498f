import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import type { Timers } from "../core/timers.ts";
import { systemTimers } from "../core/timers.ts";
import { bundlePlugin } from "./bundle-plugin.ts";
import { folder, pluginText } from "./plugin.fixtures.ts";
import { PluginError } from "./plugin-problem.ts";
import { PluginTrials } from "./try-plugin.ts";

const never: Timers = { after: () => () => undefined, every: () => () => undefined };

function trials(t: TestContext, options: { timers: Timers; loadMsMax?: number } = { timers: never }): PluginTrials {
  const made = new PluginTrials(options);
  t.after(() => made.close());
  return made;
}

async function refusal(plugins: PluginTrials, source: string): Promise<PluginError> {
  const error: unknown = await plugins.try(await bundlePlugin({ name: "greet", source })).then(
    () => assert.fail("it was accepted"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof PluginError, String(error));
  return error;
}

test("what a plugin does wrong while it loads is a problem, with its place where that is known", async (t) => {
  const plugins = trials(t);
  const table: [string, RegExp, number | undefined][] = [
    ["const x: number = 1;\n\nthrow new Error(`no ${x}`);", /failed while it was loaded: Error: no 1/, 3],
    ["const f = () => {\n  throw 5;\n};\nf();", /failed while it was loaded: 5/, undefined],
    ["export const name = 1;", /no default export/, undefined],
    ["export default 1;", /is a number/, undefined],
    ["type A = 1;\nprocess.exit(0);", /ends the process while it is loaded/, 2],
    ["await new Promise(() => {});", /waits for what never comes/, undefined],
    ['\nqueueMicrotask(() => { throw new Error("late"); }); await new Promise(() => {});', /late/, 2],
    [
      'import { parentPort } from "node:worker_threads"; parentPort.postMessage({ kind: "loaded" });',
      /default/,
      undefined,
    ],
  ];
  for (const [source, message, line] of table) {
    const error = await refusal(plugins, source);
    assert.match(error.message, message);
    assert.deepEqual([error.problems[0]?.file, error.problems[0]?.line], ["plugins/greet.ts", line], source);
  }
});

test("a mistake in a file that a plugin's file imports has its place there", async (t) => {
  const made = folder(t, {
    "greet.ts": `import "./lib/words.ts";\n${pluginText()}`,
    "lib/words.ts": "interface A { a: 1 }\n\n\nnull.length;",
  });
  const plugin = await bundlePlugin({ path: join(made, "greet.ts") });
  const error: unknown = await trials(t)
    .try(plugin)
    .catch((reason: unknown) => reason);
  assert.ok(error instanceof PluginError);
  assert.deepEqual([error.problems[0]?.file, error.problems[0]?.line], [join(made, "lib/words.ts"), 4]);
  assert.ok(error.inputs.includes(join(made, "lib/words.ts")));
});

test("a plugin that loops is ended when its time is up, and where it loops is told", async (t) => {
  const plugins = trials(t, { timers: systemTimers, loadMsMax: 300 });
  const error = await refusal(
    plugins,
    "interface A {}\n\nlet n = 0;\nfunction spin() {\n  for (;;) n++;\n}\nspin();\n",
  );
  assert.match(error.message, /does not finish loading within 0\.3 s/);
  const line = error.problems[0]?.line;
  assert.equal(line, 5);
});

test("a plugin that sleeps inside of node is ended too", async (t) => {
  const plugins = trials(t, { timers: systemTimers, loadMsMax: 100 });
  const error = await refusal(plugins, "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);");
  assert.match(error.message, /does not finish loading/);
});

test("a plugin that eats memory ends its thread alone", async (t) => {
  const error = await refusal(trials(t), "const all = []; for (;;) all.push(new Array(100_000).fill(0.5));");
  assert.match(error.message, /memory/);
});

test("after a plugin that ended its thread the next one is tried as ever", async (t) => {
  const plugins = trials(t);
  await refusal(plugins, "process.exit(1)");
  const plugin = await bundlePlugin({ name: "greet", source: pluginText() });
  const { name, problems } = await plugins.try(plugin, [undefined]);
  assert.deepEqual({ name, problems }, { name: "greet", problems: [[]] });
});

test("a thread that is kept ready ends when nobody needed it for a while", async (t) => {
  let expire = (): void => assert.fail("no thread is kept ready");
  const timers: Timers = {
    after: () => () => undefined,
    every: (_, action) => {
      expire = action;
      return () => undefined;
    },
  };
  const plugins = trials(t, { timers });
  const plugin = await bundlePlugin({ name: "greet", source: pluginText() });
  await plugins.try(plugin);
  expire();
  assert.equal((await plugins.try(plugin)).name, "greet");
});

test("the place of a loop is looked for in the thread of the plugin, not in others", async (t) => {
  const other = new Worker("setInterval(() => require('node:worker_threads').parentPort.postMessage(1), 5)", {
    eval: true,
  });
  t.after(() => other.terminate());
  const plugins = trials(t, { timers: systemTimers, loadMsMax: 100 });
  for (const line of [1, 3]) {
    const error = await refusal(plugins, `${"\n".repeat(line - 1)}for (;;);\nexport {};`);
    assert.equal(error.problems[0]?.line, line);
  }
  await once(other, "message");
});
