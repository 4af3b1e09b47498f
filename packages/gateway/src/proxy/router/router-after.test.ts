import assert from "node:assert/strict";
import { test } from "node:test";
import { routerAfter } from "./router-after.ts";
import { clientOf, requestOf } from "./router.fixtures.ts";
import { compileRoute, Router } from "./router.ts";

const compiled = (name: string, path: string, value: string) => compileRoute(name, [{ path }], 0, value);

/** More than one slice. */
const count = 1_200;

function filled(): Router<string> {
  const router = new Router<string>();
  for (let i = 0; i < count; i++) router.put(compiled(`r${i}`, `/r/${i}/*`, "before"));
  return router;
}

function find(router: Router<string>, target: string): string | undefined {
  return router.find(requestOf({ target }), clientOf())?.value;
}

test("a router after a change has what it sets, lacks what it deletes, and keeps the rest; the one before stays", async () => {
  const before = filled();
  const set = [compiled("r1", "/r/1/*", "after"), compiled("r2", "/moved", "after"), compiled("new", "/new", "after")];
  const after = await routerAfter(before, set, ["r0", "not-there"]);
  const targets = ["/r/0/a", "/r/1/a", "/r/2/a", "/moved", "/new", `/r/${count - 1}/a`];
  assert.deepEqual(
    targets.map((target) => find(after, target)),
    [undefined, "after", undefined, "after", "after", "before"],
  );
  assert.deepEqual(
    targets.map((target) => find(before, target)),
    ["before", "before", "before", undefined, undefined, "before"],
  );
  assert.equal(after.size, count);
  assert.equal(before.size, count);
});

test("other work has its turn meanwhile", async () => {
  const before = filled();
  let turns = 0;
  let done = false;
  const count = (): void => {
    if (done) return;
    turns++;
    setImmediate(count);
  };
  setImmediate(count);
  await routerAfter(before, [], []);
  done = true;
  assert.ok(turns >= 2, `${turns} turns`);
});
