import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test, type TestContext } from "node:test";
import { portOf } from "../../../tests/kit/ports.ts";
import { within } from "../../../tests/kit/wait.ts";
import { startService } from "./service-process.fixtures.ts";

/** A service that serves and registers at a gateway that takes everything. */
async function start(t: TestContext, more: object = {}) {
  const asked: string[] = [];
  const gateway = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      asked.push(`${request.method ?? ""} ${/"status":"(\w+)"/.exec(body)?.[1] ?? ""}`.trim());
      response.end();
    });
  });
  await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    gateway.closeAllConnections();
    gateway.close();
  });
  const to = { gateway: `http://127.0.0.1:${portOf(gateway)}`, token: "secret" };
  const service = startService(t, {
    service: "users",
    address: "127.0.0.1:3001",
    to,
    serve: true,
    noticeMs: 50,
    ...more,
  });
  const port = (await service.line(/^port/)).slice("port ".length);
  await service.line(/^state registered/);
  return { service, asked, url: `http://127.0.0.1:${port}` };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`at ${signal} a service drains, finishes what runs, deregisters, closes its server and ends by the signal`, async (t) => {
    const { service, asked, url } = await start(t, { drainMs: 30_000 });
    const slow = fetch(`${url}/slow`);
    await service.line(/slow begins/);
    service.child.kill(signal);
    await service.line(/^state draining/);
    // What a gateway sends before it has seen the announcement is still served.
    assert.equal(await (await fetch(url)).text(), "ok");
    service.child.kill("SIGUSR2");
    assert.equal(await (await slow).text(), "slow");
    assert.deepEqual(await within(service.exited, "the end"), { code: null, signal });
    assert.deepEqual(asked, ["PUT UP", "PUT DRAINING", "DELETE"]);
    const order = service.lines.filter((line) => /^(state|slow|drained)/.test(line));
    assert.deepEqual(order, [
      "state registered",
      "slow begins",
      "state draining",
      "slow ends",
      "state ended",
      "drained",
    ]);
  });
}

test("draining ends after drainMs, whatever still runs", async (t) => {
  const { service, asked, url } = await start(t, { drainMs: 300 });
  const slow = fetch(`${url}/slow`);
  await service.line(/slow begins/);
  service.child.kill("SIGTERM");
  await service.line(/is deregistered$/);
  assert.deepEqual(asked, ["PUT UP", "PUT DRAINING", "DELETE"]);
  // Closing the server still waits for it.
  service.child.kill("SIGUSR2");
  assert.equal(await (await slow).text(), "slow");
  assert.deepEqual(await within(service.exited, "the end"), { code: null, signal: "SIGTERM" });
});

test("a second signal ends the process at once", async (t) => {
  const { service, asked, url } = await start(t, { drainMs: 600_000 });
  const slow = fetch(`${url}/slow`).catch(() => undefined);
  await service.line(/slow begins/);
  service.child.kill("SIGTERM");
  await service.line(/^state draining/);
  service.child.kill("SIGTERM");
  assert.deepEqual(await within(service.exited, "the end"), { code: null, signal: "SIGTERM" });
  assert.equal(asked.includes("DELETE"), false);
  await slow;
});

test("a service with a listener of its own drains too, and the listener decides about the end", async (t) => {
  const { service } = await start(t, { own: true, drainMs: 0 });
  service.child.kill("SIGTERM");
  await service.line(/^drained/);
  assert.equal(service.lines.filter((line) => line === "own listener").length, 1);
  // The server was closed and nothing else is left: the process ends as any other does.
  assert.deepEqual(await within(service.exited, "the end"), { code: 0, signal: null });
});
