import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { fetchJson } from "./fetch-json.ts";

async function serving(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address is one
}

test("JSON is fetched and parsed", async (t) => {
  const url = await serving(t, (_, response) => response.end('{"keys":[]}'));
  assert.deepEqual(await fetchJson(url), { keys: [] });
});

for (const [what, listener, message] of [
  ["a status other than 200", (_, response) => response.writeHead(404).end("{}"), /answered 404$/],
  ["a redirect", (_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(), /answered 302$/],
  ["too much", (_, response) => response.end(`"${"a".repeat(1024 * 1024)}"`), /more than 1048576 bytes$/],
  ["no JSON", (_, response) => response.end("<html>"), /did not answer with JSON$/],
] as const satisfies readonly (readonly [string, RequestListener, RegExp])[]) {
  test(`${what} is refused, without showing the query`, async (t) => {
    const url = await serving(t, listener);
    await assert.rejects(fetchJson(`${url}/jwks?secret=hush`), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hush/);
      return true;
    });
  });
}
