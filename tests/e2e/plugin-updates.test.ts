import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import http from "node:http";
import test from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { bundlePlugin } from "../../packages/gateway/src/control/bundle-plugin.ts";
import { startProxy } from "../kit/proxy.ts";
import { request } from "../kit/client.ts";
import { waitFor } from "../kit/wait.ts";

/** Every version is another text with 200 KB of its own; `disposed` counts what was given back. */
const source = `
import { defineMiddleware, z } from "headgate";
const words = "VERSION ".repeat(25_000);
export default defineMiddleware({
  name: "greet",
  config: z.strictObject({}),
  build: () => ({
    async handle(exchange, next) {
      await next();
      exchange.response.headers.set("x-version", words.slice(0, words.indexOf(" ")));
    },
    dispose() {
      globalThis.disposed = (globalThis.disposed ?? 0) + 1;
    },
  }),
});
`;

const updates = 200;
const route = {
  match: [{ path: "/greet" }],
  use: [{ name: "greet" }],
  respond: { status: 200, headers: {}, body: "ok" },
  priority: 0,
};

test("a plugin that is updated 200 times under load fails no request and leaves no memory behind", async (t) => {
  const { module } = await bundlePlugin({ name: "greet", source });
  const versionOf = (version: number) => {
    const text = module.replaceAll("VERSION", String(version));
    return { source, module: text, sha256: createHash("sha256").update(text).digest("hex") };
  };
  const proxy = await startProxy(t, {});
  const update = (version: number) => proxy.apply({ plugins: { set: { greet: versionOf(version) }, delete: [] } });
  await update(0);
  await proxy.apply({ routes: { set: { greet: route }, delete: [] } });

  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  t.after(() => agent.destroy());
  const answers = { good: 0, bad: 0 };
  let running = true;
  const client = async (): Promise<void> => {
    while (running) {
      const status = await statusOf(proxy.port, agent);
      if (status === 200) answers.good++;
      else answers.bad++;
    }
  };
  const clients = Array.from({ length: 8 }, client);
  await update(1);
  const before = await heapBytes(proxy.finished);
  for (let version = 2; version <= updates; version++) {
    await update(version);
    const response = await request(t, proxy.port, "/greet");
    assert.equal(response.get("x-version"), String(version));
  }
  running = false;
  await Promise.all(clients);
  assert.equal(answers.bad, 0);
  assert.ok(answers.good >= updates, `${answers.good} requests`);
  await waitFor(() => Reflect.get(globalThis, "disposed") === updates, { what: "every old version to be disposed of" });
  const grownBytes = (await heapBytes(proxy.finished)) - before;
  // 40 MB if each version stayed.
  assert.ok(grownBytes < 8_000_000, `the heap grew by ${grownBytes} bytes`);
});

function statusOf(port: number, agent: http.Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get({ port, host: "127.0.0.1", path: "/greet", agent }, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
      })
      .on("error", reject);
  });
}

/** What is in use after collecting; `finished` is what the kit keeps. */
async function heapBytes(finished: unknown[]): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void; // what the flag makes
  finished.length = 0;
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((done) => setImmediate(done));
    collect();
  }
  return process.memoryUsage().heapUsed;
}
