import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { Seal, SealError, sealKeyBytes } from "./seal.ts";

const key = randomBytes(sealKeyBytes);

test("what is sealed opens with the same key and context, whatever it is", () => {
  const seal = new Seal(key);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (bytes, context) => {
      const sealed = seal.seal(bytes, context);
      assert.deepEqual(new Seal(key).open(sealed, context), Buffer.from(bytes));
    }),
  );
});

test("it shows nothing of what is inside, and never looks the same twice", () => {
  const seal = new Seal(key);
  const secret = Buffer.from("authorization: Bearer abc");
  const [one, two] = [seal.seal(secret, "a"), seal.seal(secret, "a")];
  assert.equal(Buffer.from(one).includes("Bearer"), false);
  assert.notDeepEqual(one, two);
});

test("with another key, in another context, cut or changed in any byte it does not open", () => {
  const sealed = new Seal(key).seal(Buffer.from("text"), "a");
  const open = (bytes: Uint8Array, context = "a", by = new Seal(key)): unknown => by.open(bytes, context);
  assert.throws(() => open(sealed, "a", new Seal(randomBytes(sealKeyBytes))), /another key/);
  assert.throws(() => open(sealed, "a", new Seal(undefined)), /another key/);
  assert.throws(() => open(sealed, "b"), SealError);
  for (let at = 0; at < sealed.length; at++) {
    assert.throws(() => open(sealed.subarray(0, at)), SealError, `cut at ${at}`);
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 0x10;
    assert.throws(() => open(changed), SealError, `byte ${at}`);
  }
});

test("without a key it hides nothing and says so; what was left open can be read with a key", () => {
  const open = new Seal(undefined);
  assert.deepEqual([open.hides, new Seal(key).hides], [false, true]);
  const plain = open.seal(Buffer.from("text"), "a");
  assert.equal(new Seal(key).open(plain, "b").toString(), "text");
});
