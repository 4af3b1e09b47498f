import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { z } from "zod";
import { definitionOf, loadPlugin } from "./load-plugin.ts";
import { defineMiddleware } from "./middleware.ts";

function cacheDir(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "headgate-plugins-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "cache");
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
const zod = JSON.stringify(import.meta.resolve("zod"));
const good = (note: string): string =>
  `import { z } from ${zod}; globalThis.pluginLoads = (globalThis.pluginLoads ?? 0) + 1; // ${note}
   export default { name: "greet", config: z.strictObject({}), build: () => (exchange, next) => next() };`;

test("a digest is imported once, from a file only its user can read", async (t) => {
  const folder = cacheDir(t);
  const text = good("once");
  const [first, second] = await Promise.all([
    loadPlugin(text, digest(text), folder),
    loadPlugin(text, digest(text), folder),
  ]);
  assert.equal(first.name, "greet");
  assert.equal(first, second);
  assert.equal(await loadPlugin(text, digest(text), folder), first);
  assert.equal(Reflect.get(globalThis, "pluginLoads"), 1);
  assert.deepEqual(readdirSync(folder), [`${digest(text)}.mjs`]);
  assert.equal(statSync(join(folder, `${digest(text)}.mjs`)).mode & 0o777, 0o600);
});

test("several threads may load the same plugin at the same time", async (t) => {
  const folder = cacheDir(t);
  const text = good("threads");
  const data = { loader: new URL("./load-plugin.ts", import.meta.url).href, text, sha256: digest(text), folder };
  const names = await Promise.all(
    [1, 2, 3].map(
      () =>
        new Promise((done, failed) => {
          const worker = new Worker(
            `const { workerData: d, parentPort } = require("node:worker_threads");
             import(d.loader).then((m) => m.loadPlugin(d.text, d.sha256, d.folder)).then((p) => parentPort.postMessage(p.name));`,
            { eval: true, workerData: data },
          );
          worker.once("message", done);
          worker.once("error", failed);
        }),
    ),
  );
  assert.deepEqual(names, ["greet", "greet", "greet"]);
  assert.deepEqual(readdirSync(folder), [`${digest(text)}.mjs`]);
});

test("code that is not what was announced is not run", async (t) => {
  await assert.rejects(loadPlugin(good("other"), digest("something else"), cacheDir(t)), /does not have the digest/);
});

test("a module that throws says so", async (t) => {
  const text = 'throw new TypeError("no config");';
  await assert.rejects(loadPlugin(text, digest(text), cacheDir(t)), /failed while it was loaded: TypeError: no config/);
});

test("a default export that is no middleware is refused with what is missing", () => {
  const config = z.strictObject({});
  const build = (): void => undefined;
  const table: [unknown, RegExp][] = [
    [{}, /no default export/],
    [{ default: build }, /is a function; it must be what defineMiddleware returns/],
    [{ default: null }, /default export/],
    [{ default: { config, build } }, /"name"/],
    [{ default: { name: "Greet Me", config, build } }, /"name" must be lower-case/],
    [{ default: { name: "greet", build } }, /"config" must be a zod 4 schema/],
    [{ default: { name: "greet", config: { greeting: "hi" }, build } }, /"config" must be a zod 4 schema/],
    [{ default: { name: "greet", config } }, /"build" must be a function/],
  ];
  for (const [namespace, message] of table) assert.throws(() => definitionOf(namespace), message);
  assert.equal(definitionOf({ default: { name: "greet", config, build } }).name, "greet");
});

test("types guide the author", () => {
  const config = z.strictObject({ greeting: z.string().default("hello"), times: z.number().optional() });
  const greet = defineMiddleware({
    name: "greet",
    config,
    build({ greeting, times }, kit) {
      const text: string = greeting;
      const count: number | undefined = times;
      kit.log.info({ text, count }, "built");
      // @ts-expect-error there is no such setting
      const wrong = (settings: z.output<typeof config>): unknown => settings.gretting;
      return (exchange, next) => {
        exchange.request.headers.set("x-greeting", String(wrong({ greeting: text })));
        // @ts-expect-error the method of a request cannot be changed
        if (text === "") exchange.request.method = "GET";
        return next();
      };
    },
  });
  assert.equal(greet.name, "greet");
  // @ts-expect-error a schema is missing
  assert.throws(() => definitionOf({ default: defineMiddleware({ name: "greet", build: () => (_, next) => next() }) }));
  const notHandler = defineMiddleware({
    name: "greet",
    config,
    // @ts-expect-error build must return a middleware
    build: () => "hello",
  });
  assert.equal(notHandler.name, "greet");
  const wrongHeader = defineMiddleware({
    name: "greet",
    config,
    build: () => (exchange, next) => {
      // @ts-expect-error a header's value is text
      exchange.request.headers.set("x-count", 1);
      return next();
    },
  });
  assert.equal(wrongHeader.name, "greet");
});
