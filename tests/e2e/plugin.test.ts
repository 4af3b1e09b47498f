import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import test from "node:test";
import { request } from "../kit/client.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";

/** A user's middleware over two files: the second shows that what a plugin imports is bundled and watched too. */
const greet = `
import { defineMiddleware } from "headgate";
import { z } from "zod";
import { decorate } from "./decorate.ts";

export default defineMiddleware({
  name: "greet",
  config: z.strictObject({ greeting: z.string().default("hello") }),
  build({ greeting }) {
    return async function greet(exchange, next) {
      await next();
      exchange.response.headers.set("x-greeting", decorate(greeting));
    };
  },
});
`;
const decorate = (mark: string): string =>
  `export const decorate = (text: string): string => text + ${JSON.stringify(mark)};\n`;

function start(t: test.TestContext): Promise<GatewayProcess> {
  return startGateway(t, {
    document: {
      plugins: { greet: "./greet.ts" },
      routes: {
        polite: {
          match: { path: "/polite" },
          use: [{ greet: { greeting: "good day" } }],
          respond: { status: 200, body: "ok" },
        },
        plain: { match: { path: "/plain" }, use: ["greet"], respond: { status: 200, body: "ok" } },
      },
    },
    files: { "greet.ts": greet, "decorate.ts": decorate("!") },
    workers: 2,
  });
}

async function greeting(t: test.TestContext, gateway: GatewayProcess, target: string): Promise<string | undefined> {
  const response = await request(t, gateway.port, target);
  assert.equal(response.status, 200, response.text);
  return response.get("x-greeting");
}

test("a middleware from the user's own file runs with its settings", async (t) => {
  const gateway = await start(t);
  assert.equal(await greeting(t, gateway, "/polite"), "good day!");
  assert.equal(await greeting(t, gateway, "/plain"), "hello!");
});

test("an edit of the middleware's file, and of one it imports, is live", async (t) => {
  const gateway = await start(t);
  const before = await gateway.status();
  await writeFile(
    path.join(gateway.directory, "greet.ts"),
    greet.replace("decorate(greeting)", "`<${decorate(greeting)}>`"),
  );
  const between = await gateway.settled(before);
  assert.equal(await greeting(t, gateway, "/plain"), "<hello!>");
  await writeFile(path.join(gateway.directory, "decorate.ts"), decorate("?"));
  await gateway.settled(between);
  assert.equal(await greeting(t, gateway, "/plain"), "<hello?>");
});

test("a middleware whose code stands in the document runs, and its next version takes over", async (t) => {
  const document = (mark: string) => ({
    plugins: { greet: { source: greet.replace('import { decorate } from "./decorate.ts";', decorateHere(mark)) } },
    routes: { plain: { match: { path: "/plain" }, use: ["greet"], respond: { status: 200, body: "ok" } } },
  });
  const decorateHere = (mark: string) => `const decorate = (text: string): string => text + ${JSON.stringify(mark)};`;
  const gateway = await startGateway(t, { document: document("!"), workers: 2 });
  assert.equal(await greeting(t, gateway, "/plain"), "hello!");
  const status = await gateway.reload(document("?"));
  assert.deepEqual(status.problems, []);
  assert.equal(await greeting(t, gateway, "/plain"), "hello?");
  const refused = await gateway.reload({
    ...document("?"),
    plugins: { greet: { source: 'import "./decorate.ts";\n' } },
  });
  assert.match(
    JSON.stringify(refused.problems),
    /plugins\/greet\.ts.*cannot be imported|cannot be imported.*plugins\/greet\.ts/,
  );
  assert.equal(await greeting(t, gateway, "/plain"), "hello?");
});

for (const [what, text, message] of [
  ["does not parse", "export default {;\n", /greet\.ts/],
  ["throws when it is loaded", `throw new Error("not today");\n`, /not today/],
  ["exports no middleware", "export default 42;\n", /greet/],
  ["imports what is not there", `import "./missing.ts";\nexport default {};\n`, /missing/],
] as const) {
  test(`a middleware that ${what} leaves the last good one live and is a problem`, async (t) => {
    const gateway = await start(t);
    const before = await gateway.status();
    await writeFile(path.join(gateway.directory, "greet.ts"), text);
    const status = await gateway.settled(before);
    assert.match(JSON.stringify(status.problems), message);
    assert.equal(await greeting(t, gateway, "/plain"), "hello!");
  });
}

test("settings that the middleware's own schema refuses change nothing", async (t) => {
  const gateway = await start(t);
  const status = await gateway.reload({
    plugins: { greet: "./greet.ts" },
    routes: {
      plain: { match: { path: "/plain" }, use: [{ greet: { greetign: "x" } }], respond: { status: 200, body: "ok" } },
    },
  });
  assert.match(JSON.stringify(status.problems), /greetign/);
  assert.equal(await greeting(t, gateway, "/plain"), "hello!");
});
