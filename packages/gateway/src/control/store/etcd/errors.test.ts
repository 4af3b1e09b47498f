import assert from "node:assert/strict";
import { test } from "node:test";
import { status as codes } from "@grpc/grpc-js";
import type { StoreErrorCode } from "../store.ts";
import { backoffMs } from "./backoff.ts";
import { judge, storeError } from "./errors.ts";
import { numberOf } from "./translate.ts";
import { progressIsInLine } from "./watch-cursor.ts";

const endpoint = "http://etcd:2379";

test("etcd's texts and gRPC's codes become the contract's codes", () => {
  const cases: readonly (readonly [keyof typeof codes, string, StoreErrorCode])[] = [
    ["OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", "compacted"],
    ["OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", "future"],
    ["NOT_FOUND", "etcdserver: requested lease not found", "lease-not-found"],
    ["FAILED_PRECONDITION", "etcdserver: lease already exists", "lease-exists"],
    ["OUT_OF_RANGE", "etcdserver: too large lease TTL", "invalid"],
    ["INVALID_ARGUMENT", "etcdserver: request is too large", "too-large"],
    ["RESOURCE_EXHAUSTED", "grpc: received message larger than max (2100000 vs. 2097152)", "too-large"],
    ["INVALID_ARGUMENT", "etcdserver: too many operations in txn request", "too-many-operations"],
    ["INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", "invalid"],
    ["RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", "no-space"],
    ["PERMISSION_DENIED", "etcdserver: permission denied", "unauthorized"],
    ["UNAUTHENTICATED", "etcdserver: invalid auth token", "unauthorized"],
    ["INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password", "unauthorized"],
    ["INVALID_ARGUMENT", "etcdserver: user name is empty", "unauthorized"],
    ["UNAVAILABLE", "etcdserver: request timed out", "unreachable"],
    ["UNAVAILABLE", "No connection established", "unreachable"],
    ["DEADLINE_EXCEEDED", "", "unreachable"],
    ["INTERNAL", "Received RST_STREAM with code 2", "unreachable"],
    ["UNIMPLEMENTED", "unknown service etcdserverpb.KV", "invalid"],
  ];
  for (const [code, details, expected] of cases) {
    const failure = { code: Number(codes[code]), details, endpoint };
    assert.equal(storeError(failure).code, expected, details);
    assert.match(storeError(failure).message, /^etcd at http:\/\/etcd:2379 .*\.$/);
    // Only what may have been carried out, or was not, is asked elsewhere.
    assert.equal(judge(failure).elsewhere, expected === "unreachable", details);
  }
});

test("gRPC's frame around the reason is left out of what people read", () => {
  const details =
    "No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379 (2026-01-01T00:00:00.000Z). Resolution note: ";
  assert.equal(
    storeError({ code: codes.UNAVAILABLE, details, endpoint }).message,
    "etcd at http://etcd:2379 cannot be reached: connect ECONNREFUSED 10.0.0.1:2379.",
  );
});

test("pauses between tries double up to a second, with a random half", () => {
  const pauses = [0, 1, 2, 3, 4, 5, 6, 100];
  assert.deepEqual(pauses.map((tries) => backoffMs(tries, () => 0)), [25, 50, 100, 200, 400, 500, 500, 500]); // prettier-ignore
  assert.deepEqual(pauses.map((tries) => backoffMs(tries, () => 0.98)).map(Math.round), [50, 99, 198, 396, 792, 990, 990, 990]); // prettier-ignore
});

test("a number that is not exact is refused rather than rounded", () => {
  assert.equal(numberOf("9007199254740991"), 9_007_199_254_740_991);
  assert.throws(() => numberOf("9007199254740993"), /no exact number/);
  assert.throws(() => numberOf("x"), /no exact number/);
});

test("progress is trusted from the versions on that have etcd#15220 mended", () => {
  for (const [version, trusted] of [
    ["3.4.23", false],
    ["3.4.24", false],
    ["3.4.25", true],
    ["3.5.0", false],
    ["3.5.7", false],
    ["3.5.8", true],
    ["3.6.0", true],
    ["3.6.0-rc.1", true],
    ["3.3.27", false],
    ["4.0.0", true],
    ["", false],
    ["not a version", false],
  ] as const) {
    assert.equal(progressIsInLine(version), trusted, version);
  }
});
