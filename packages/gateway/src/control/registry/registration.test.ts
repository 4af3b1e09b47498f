import assert from "node:assert/strict";
import { test } from "node:test";
import { keyOf } from "../store/keys.ts";
import type { KeyValue } from "../store/store.ts";
import { parseRegistration } from "./registration.ts";

function kv(key: string, value: string | Buffer, lease = "7"): KeyValue {
  return { key: keyOf(key), value: Buffer.from(value), createRevision: 5, modRevision: 6, version: 1, lease };
}

const up = { service: "users", address: "10.0.0.5:3001", status: "UP", weight: 1, revision: 6, leased: true };

for (const [value, expected] of [
  ["active", {}],
  ["", {}],
  ["true", {}],
  ["3", {}],
  ["[1]", {}],
  ["null", {}],
  [Buffer.of(0xff, 0xfe), {}],
  ["{}", {}],
  ['{"status":"down"}', { status: "DOWN" }],
  ['{"status":"Draining"}', { status: "DRAINING" }],
  ['{"status":"UP","weight":0,"zone":"a","version":"1.2.0","tags":["x"]}', { weight: 0, zone: "a", version: "1.2.0" }],
] as const) {
  test(`the value ${JSON.stringify(value.toString())} is understood`, () => {
    const read = parseRegistration("/services/", kv("/services/users/10.0.0.5:3001", value));
    assert.deepEqual(read, { ...up, ...expected });
  });
}

for (const [value, message] of [
  ['{"status":"UP"', /^the value is not valid JSON$/],
  ['{"status":"AWAY"}', /^status: /],
  ['{"weight":1.5}', /^weight: /],
  ['{"weight":-1}', /^weight: /],
  ['{"weight":"1"}', /^weight: /],
  ['{"zone":""}', /^zone: /],
] as const) {
  test(`the value ${value} is a problem, not an instance`, () => {
    const read = parseRegistration("/services/", kv("/services/users/10.0.0.5:3001", value));
    assert.ok("message" in read, JSON.stringify(read));
    assert.match(read.message, message);
    assert.deepEqual([read.key, read.revision], ["/services/users/10.0.0.5:3001", 6]);
  });
}

for (const [rest, address] of [
  ["users/Host.Example:80", "host.example:80"],
  ["users/[::1]:3001", "[::1]:3001"],
  ["users/users_1:65535", "users_1:65535"],
] as const) {
  test(`the key ${rest} is an instance`, () => {
    const read = parseRegistration("/services/", kv(`/services/${rest}`, "active", "0"));
    assert.deepEqual(read, { ...up, address, leased: false });
  });
}

for (const rest of [
  "users",
  "users/",
  "users/a",
  "users/a:0",
  "users/a:65536",
  "users/a:80/x",
  "/a:80",
  "-x/a:80",
  "users/a b:80",
  "users/::1:80",
]) {
  test(`the key ${JSON.stringify(rest)} is a problem`, () => {
    const read = parseRegistration("/services/", kv(`/services/${rest}`, "active"));
    assert.deepEqual(read, {
      key: `/services/${rest}`,
      revision: 6,
      message: "expected /services/<service>/<host:port>",
    });
  });
}
