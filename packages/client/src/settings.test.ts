import assert from "node:assert/strict";
import { test } from "node:test";
import { register, type RegisterOptions } from "./register.ts";
import { readSettings } from "./settings.ts";

const minimal: RegisterOptions = { service: "users", address: "10.0.0.1:3001", to: { etcd: ["http://e:2379"] } };

test("what is not given has its default", () => {
  assert.deepEqual(readSettings(minimal), {
    service: "users",
    address: "10.0.0.1:3001",
    announcement: { status: "UP" },
    ttlMs: 10_000,
    requestTimeoutMs: 1_500,
    to: { etcd: ["http://e:2379"], prefix: "/services/", healthPrefix: "/health/" },
    healthIntervalMs: undefined,
    drainMs: 5_000,
    noticeMs: 1_000,
  });
});

test("times to live are text with a unit or milliseconds", () => {
  for (const [ttl, ttlMs] of [
    ["1.5s", 1_500],
    ["2000ms", 2_000],
    ["1m", 60_000],
    ["1h", 3_600_000],
    [3_000, 3_000],
  ] as const) {
    assert.equal(readSettings({ ...minimal, ttl }).ttlMs, ttlMs);
  }
});

const wrong: readonly [options: Partial<RegisterOptions>, problem: RegExp][] = [
  [{ service: "a/b" }, /service "a\/b" is not a name/],
  [{ address: "3001" }, /address "3001" is not host:port/],
  [{ address: "a:0" }, /is not host:port/],
  [{ address: "a:65536" }, /is not host:port/],
  [{ address: "::1:80" }, /is not host:port/],
  [{ weight: 0.5 }, /weight 0.5 is not a whole number/],
  [{ weight: NaN }, /weight NaN is not/],
  [{ zone: "" }, /zone is not/],
  [{ version: "x".repeat(129) }, /version is longer/],
  [{ ttl: "10" }, /ttl "10" is not a duration/],
  [{ ttl: 10 }, /ttl "10" is not a duration/],
  [{ ttl: "2h" }, /ttl "2h" is not/],
  [{ drainMs: NaN }, /drainMs is not/],
  [{ health: { intervalMs: 1 } }, /health.intervalMs is not/],
  [{ to: { etcd: [] } }, /to.etcd names no URL/],
  [{ to: { etcd: ["127.0.0.1:2379"] } }, /to.etcd: "127.0.0.1:2379" is not a URL/],
  [{ to: { gateway: "ftp://a", token: "x" } }, /to.gateway: "ftp:\/\/a" is not a URL/],
  [{ to: { gateway: "http://a", token: "" } }, /to.token is empty/],
];

for (const [options, problem] of wrong) {
  test(`${JSON.stringify(options)} can never work and is refused`, async () => {
    await assert.rejects(register({ ...minimal, ...options }), (error) => {
      assert.ok(error instanceof TypeError);
      assert.match(error.message, problem);
      return true;
    });
  });
}
