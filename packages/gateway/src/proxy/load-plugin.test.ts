import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { z } from "zod";
import { GatewayError } from "../core/errors.ts";
import { authorStack, definitionOf, loadPlugin } from "./load-plugin.ts";
import { defineMiddleware } from "./middleware.ts";
import { pluginFileName } from "./plugin-places.ts";

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
const load = (text: string) => loadPlugin(text, digest(text));
/** As a bundler would write it; `note` makes it another version. */
const good = (note: string): string =>
  `const { z } = require("zod"); globalThis.pluginLoads = (globalThis.pluginLoads ?? 0) + 1; // ${note}
   headgateExport({ default: { name: "greet", config: z.strictObject({}), build: () => (exchange, next) => next() } });`;

test("a version is loaded once while it is in use", async () => {
  const text = good("once");
  const [first, second] = await Promise.all([load(text), load(text)]);
  assert.equal(first.name, "greet");
  assert.equal(first, second);
  assert.equal(await load(text), first);
  assert.equal(Reflect.get(globalThis, "pluginLoads"), 1);
});

test("the modules a plugin asks for are the gateway's own and node's, and no others", async () => {
  const text = `const asked = ["zod", "headgate", "@headgate/schema", "node:path", "fs"].map((name) => require(name));
    const { z } = asked[0];
    headgateExport({ default: { name: "greet", config: z.any(), build: () => asked } });`;
  const [ownZod, headgate, schema, path, fs] = (await load(text)).build({}, undefined as never) as unknown as object[]; // see above
  assert.equal(Reflect.get(ownZod ?? {}, "z"), z);
  assert.equal(Reflect.get(headgate ?? {}, "GatewayError"), GatewayError);
  assert.equal(Reflect.get(headgate ?? {}, "defineMiddleware"), defineMiddleware);
  assert.equal(typeof Reflect.get(schema ?? {}, "duration"), "function");
  assert.equal(typeof Reflect.get(path ?? {}, "join"), "function");
  assert.equal(typeof Reflect.get(fs ?? {}, "readFileSync"), "function");
  for (const name of ["pino", "./load-plugin.ts", "/etc/hostname"]) {
    await assert.rejects(load(`require(${JSON.stringify(name)})`), new RegExp(name));
  }
});

test("code that is not what was announced is not run", async () => {
  await assert.rejects(loadPlugin(good("other"), digest("something else")), /does not have the digest/);
});

test("code that throws says so, and is run again when it is asked for again", async () => {
  const text = `globalThis.pluginTries = (globalThis.pluginTries ?? 0) + 1;
    if (globalThis.pluginTries === 1) throw new TypeError("no config");
    ${good("second time")}`;
  await assert.rejects(load(text), /failed while it was loaded: TypeError: no config/);
  assert.equal((await load(text)).name, "greet");
  await assert.rejects(load("await Promise.reject(new Error('late'))"), /failed while it was loaded: Error: late/);
  await assert.rejects(load("const = 1"), /failed while it was loaded: SyntaxError/);
});

test("200 versions that replace each other leave no memory behind", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void; // what the flag makes
  const heapBytes = async (): Promise<number> => {
    // What a promise or a weak reference holds goes with the end of the turn.
    for (let turn = 0; turn < 3; turn++) {
      await new Promise((done) => setImmediate(done));
      collect();
    }
    return process.memoryUsage().heapUsed;
  };
  const versionOf = (version: number): string => {
    const functions = Array.from({ length: 500 }, (_, i) => `function f${i}() { return ${version} + ${i}; }`).join(
      "\n",
    );
    return `${good(`version ${version}`)}\n${functions}\nconst words = ${JSON.stringify(`${version} `.repeat(60_000))};`;
  };
  assert.ok(versionOf(100).length > 200_000);
  let live = await load(versionOf(0));
  const before = await heapBytes();
  for (let version = 1; version <= 200; version++) live = await load(versionOf(version));
  const grownBytes = (await heapBytes()) - before;
  assert.equal(live.name, "greet");
  assert.ok(grownBytes < 4_000_000, `the heap grew by ${grownBytes} bytes`);
});

test("stacks of loaded plugins name the author's file and line", async () => {
  const map = { version: 3, sources: ["greet.ts"], names: [], mappings: ";;AAEA" };
  const comment = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString("base64")}`;
  const text = `const { z } = require("zod");
    headgateExport({ default: { name: "greet", config: z.any(), build } });
function build() { throw new Error("here"); }
${comment}`;
  const definition = await load(text);
  assert.throws(
    () => definition.build({}, undefined as never), // it looks at neither
    (error: Error) => {
      assert.match(error.stack ?? "", new RegExp(`at (?:Object\\.)?build \\(${pluginFileName(digest(text))}:3:26\\)`));
      assert.match(authorStack(error.stack ?? ""), /at (?:Object\.)?build \(greet\.ts:3:1\)/);
      return true;
    },
  );
  const unknown = `    at build (${pluginFileName("0".repeat(64))}:3:26)`;
  assert.equal(authorStack(unknown), unknown);
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
