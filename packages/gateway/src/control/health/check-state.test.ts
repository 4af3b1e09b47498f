import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { afterCheck, describeChecks, unchecked, type CheckResult, type CheckState } from "./check-state.ts";

const thresholds = { healthy: 2, unhealthy: 3 };

/** `+` passed, `-` failed. */
function resultOf(sign: string): CheckResult {
  return sign === "+" ? { passed: true } : { passed: false, reason: "GET / answered 500" };
}

function run(signs: string): CheckState {
  return [...signs].reduce((state, sign) => afterCheck(state, resultOf(sign), thresholds), unchecked);
}

for (const [signs, healthy, why] of [
  ["", true, "an instance nobody has checked is used"],
  ["+", true, "a first pass keeps it"],
  ["-", false, "a first failure takes it out"],
  ["+--", true, "fewer failures than the threshold change nothing"],
  ["+---", false, "as many failures in a row as the threshold take it out"],
  ["+--+--", true, "a pass in between starts the count anew"],
  ["+---+", false, "fewer passes than the threshold change nothing"],
  ["+---++", true, "as many passes in a row as the threshold bring it back"],
  ["+---+-+", false, "a failure in between starts that count anew"],
  ["-+", false, "after a first failure one pass is not enough"],
  ["-++", true, "but the threshold is"],
] as const) {
  test(`${why}: ${signs || "no check"}`, () => assert.equal(run(signs).healthy, healthy));
}

test("the state is that of a search through the whole history", () => {
  const step = fc.constantFrom("+", "-");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(4), fc.nat(4), (signs, more, most) => {
      const limits = { healthy: 1 + more, unhealthy: 1 + most };
      let state = unchecked;
      let healthy = true;
      for (const [index, sign] of signs.entries()) {
        state = afterCheck(state, resultOf(sign), limits);
        const wanted = sign === "+" ? limits.healthy : limits.unhealthy;
        const last = signs.slice(Math.max(0, index + 1 - wanted), index + 1);
        const isRow = last.length === wanted && last.every((one) => one === sign);
        if (index === 0 || isRow) healthy = sign === "+";
        assert.equal(state.healthy, healthy);
      }
    }),
  );
});

test("people are told how many checks failed and how the last one did", () => {
  assert.equal(describeChecks(run("-")), "a check failed: GET / answered 500");
  assert.equal(describeChecks(run("+---")), "3 checks failed: GET / answered 500");
  assert.equal(describeChecks(run("+---+")), "only 1 check passed since the last failed");
});
