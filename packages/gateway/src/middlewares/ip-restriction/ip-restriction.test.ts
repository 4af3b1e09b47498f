import assert from "node:assert/strict";
import { test } from "node:test";
import { runMiddleware } from "../../testing.ts";
import ipRestriction from "./index.ts";

test("deny wins, and a list of allowed networks keeps all others out", async () => {
  const table: [{ allow?: string[]; deny?: string[] }, string, number][] = [
    [{ allow: ["10.0.0.0/8"] }, "10.1.2.3", 200],
    [{ allow: ["10.0.0.0/8"] }, "11.1.2.3", 403],
    [{ allow: ["10.0.0.0/8"], deny: ["10.1.0.0/16"] }, "10.1.2.3", 403],
    [{ deny: ["10.1.0.0/16"] }, "10.2.2.3", 200],
    [{ deny: ["10.1.2.3"] }, "10.1.2.3", 403],
    [{ allow: ["2001:db8::/32"] }, "2001:db8::1", 200],
    [{ allow: ["2001:db8::/32"] }, "10.0.0.1", 403],
    [{ allow: ["0.0.0.0/0"] }, "2001:db8::1", 403],
    [{ allow: ["10.0.0.0/8"] }, "not an address", 403],
  ];
  for (const [settings, ip, status] of table) {
    const run = await runMiddleware(ipRestriction, settings, {}, { client: { ip } });
    assert.equal(run.response.status, status, `${JSON.stringify(settings)} ${ip}`);
    assert.equal(run.error?.code, status === 403 ? "HG_FORBIDDEN" : undefined);
    assert.equal(run.nextCalls, status === 403 ? 0 : 1);
  }
});

test("one middleware tells one client from the next", async () => {
  const settings = { allow: ["10.0.0.0/8"], deny: ["10.9.0.0/16"] };
  for (const [ip, status] of [
    ["10.0.0.1", 200],
    ["10.9.0.1", 403],
    ["192.0.2.1", 403],
    ["10.0.0.1", 200],
  ] as const) {
    assert.equal((await runMiddleware(ipRestriction, settings, {}, { client: { ip } })).response.status, status);
  }
});

test("refuses settings that restrict nothing or name no networks", () => {
  for (const settings of [
    {},
    { allow: [], deny: [] },
    { allow: ["10.0.0.0/33"] },
    { deny: ["example.com"] },
    { block: [] },
  ]) {
    assert.equal(ipRestriction.config.safeParse(settings).success, false, JSON.stringify(settings));
  }
});
