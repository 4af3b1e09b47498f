import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StepUsers } from "./step-users.ts";

const builtIn = new Set(["cors"]);
const step = fc.constantFrom("cors", "a", "b", "c");
const resource = fc.constantFrom("r1", "r2", "r3");

test("knows who names a step, however often chains change", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(resource, fc.array(step, { maxLength: 3 }))), fc.array(step), (changes, asked) => {
      const users = new StepUsers(builtIn);
      const chains = new Map<string, readonly string[]>();
      const entries = (names: readonly string[]) => names.map((name) => ({ name }));
      for (const [name, chain] of changes) {
        users.replace(name, entries(chains.get(name) ?? []), entries(chain));
        chains.set(name, chain);
      }
      const wanted: readonly string[] = asked.filter((name) => !builtIn.has(name));
      const expected = [...chains].filter(([, chain]) => chain.some((name) => wanted.includes(name)));
      assert.deepEqual([...users.of(asked)].sort(), expected.map(([name]) => name).sort());
    }),
  );
});
