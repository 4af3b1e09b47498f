import assert from "node:assert/strict";
import { test } from "node:test";
import { rejectedOf } from "./rejected.ts";

const prefix = "/headgate/";
const problem = { severity: "error", path: "routes.a", message: "is wrong", key: "/headgate/routes/a" } as const;

test("errors of what the store holds are told, with the revision that wrote them; warnings and files are not", () => {
  const told = rejectedOf(prefix, [
    { ...problem, revision: 7 },
    { ...problem, severity: "warning" },
    { severity: "error", path: "routes.b", message: "is wrong", file: "headgate.yaml" },
    { ...problem, path: "rout/c", key: "/headgate/rout/c" },
  ]);
  assert.deepEqual(told, [
    { kind: "routes", name: "a", key: "/headgate/routes/a", revision: 7, message: "is wrong" },
    { kind: "unknown", name: "rout/c", key: "/headgate/rout/c", revision: null, message: "is wrong" },
  ]);
});

test("however much is wrong, what is told fits into a value of etcd", () => {
  const message = "x".repeat(1_000_000);
  const told = rejectedOf(
    prefix,
    Array.from({ length: 10_000 }, () => ({ ...problem, message })),
  );
  assert.ok(JSON.stringify(told).length < 128 * 1_024);
});
