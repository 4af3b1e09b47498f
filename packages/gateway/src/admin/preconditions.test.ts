import assert from "node:assert/strict";
import { test } from "node:test";
import { etagOf, preconditionsOf } from "./preconditions.ts";
import { AdminError } from "./problem.ts";

test("a revision is quoted, a file's resource has a tag of its own", () => {
  assert.deepEqual([etagOf(12), etagOf(null)], ['"12"', '"file"']);
});

for (const [ifMatch, ifNoneMatch, expected] of [
  [undefined, undefined, {}],
  ['"12"', undefined, { ifMatch: [12] }],
  [' "12" ,\t"13",, ', undefined, { ifMatch: [12, 13] }],
  ['W/"12"', undefined, { ifMatch: [] }],
  ['"12", W/"13", "file", "x,y", "012", "0"', undefined, { ifMatch: [12] }],
  ["*", undefined, { ifMatch: "*" }],
  ["", undefined, { ifMatch: [] }],
  [undefined, "*", { ifNoneMatch: "*" }],
  // Compared weakly: what is not to be there must not be there in any spelling.
  [undefined, 'W/"12", "13"', { ifNoneMatch: [12, 13] }],
  ['"12"', "*", { ifMatch: [12], ifNoneMatch: "*" }],
] as const) {
  test(`If-Match ${ifMatch} and If-None-Match ${ifNoneMatch} come to ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(preconditionsOf(ifMatch, ifNoneMatch), expected);
  });
}

for (const header of ["12", '"12', '"12" "13"', "*, *", 'w/"12"', '"1\u00002"']) {
  test(`${JSON.stringify(header)} is no list of tags`, () => {
    const isRefusal = (error: unknown): boolean => error instanceof AdminError && error.status === 400;
    assert.throws(() => preconditionsOf(header, undefined), isRefusal);
    assert.throws(() => preconditionsOf(undefined, header), isRefusal);
  });
}

test("a header of spaces is read in one pass", () => {
  const started = performance.now();
  assert.throws(() => preconditionsOf(`"1",${" ".repeat(500_000)}x`, undefined), AdminError);
  assert.ok(performance.now() - started < 5_000);
});
