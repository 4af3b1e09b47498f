import assert from "node:assert/strict";
import { test } from "node:test";
import { afterCheck, unchecked } from "./check-state.ts";
import { stateOf, takesRequests, type InstanceFacts } from "./instance-state.ts";

const sick = afterCheck(
  unchecked,
  { passed: false, reason: "GET /healthz answered 500" },
  { healthy: 1, unhealthy: 1 },
);
const well = afterCheck(unchecked, { passed: true }, { healthy: 1, unhealthy: 1 });

/** From what is shown first to what is shown last, each with what is shown of it alone. */
const inOrder: readonly (readonly [InstanceFacts, string, string | undefined])[] = [
  [{ registered: { status: "DRAINING" } }, "draining", "it announced that it ends"],
  [{ registered: { status: "DOWN" } }, "down", "it announced that it is down"],
  [{ circuit: { state: "open", forced: "open", reason: "held open by ann" } }, "open", "held open by ann"],
  [{ check: sick }, "unhealthy", "a check failed: GET /healthz answered 500"],
  [{ reported: "OUT_OF_SERVICE" }, "reported-down", "its health report says OUT_OF_SERVICE"],
  [{ ejection: { isOver: false, untilMs: 5, reason: "5 failures in a row" } }, "ejected", "5 failures in a row"],
  [{ circuit: { state: "open", untilMs: 9, reason: "60% of 20 failed" } }, "open", "60% of 20 failed"],
  [{ circuit: { state: "half-open" } }, "half-open", "its circuit breaker lets trials through"],
  [{ ejection: { isOver: true } }, "probation", "one request at a time tries it"],
  [
    { registered: { status: "UP", held: { untilMs: 7 } } },
    "held",
    "it vanished from the registry with most of its service",
  ],
  [{ startingUntilMs: 8 }, "starting", "its share grows"],
  [{ registered: { status: "UP" }, check: well, reported: "UP", circuit: { state: "closed" } }, "up", undefined],
];

test("each cause is shown with its reason", () => {
  for (const [facts, state, reason] of inOrder) {
    const shown = stateOf(facts);
    assert.deepEqual([shown.state, shown.reason], [state, reason]);
  }
});

test("of several causes the one that would have to be put right first is shown", () => {
  for (const [index, [facts, state]] of inOrder.entries()) {
    for (const [others] of inOrder.slice(index + 1)) {
      assert.equal(stateOf({ ...others, ...facts }).state, state, JSON.stringify({ ...others, ...facts }));
    }
  }
});

test("states that end by themselves say when", () => {
  const ends = inOrder.map(([facts]) => stateOf(facts).untilMs);
  assert.deepEqual(
    ends.filter((untilMs) => untilMs !== undefined),
    [5, 9, 7, 8],
  );
});

test("an instance takes requests in the states in which balancers use it", () => {
  const taking = inOrder.map(([, state]) => state).filter((state) => takesRequests(stateOf(factsOf(state)).state));
  assert.deepEqual(taking, ["half-open", "probation", "held", "starting", "up"]);
});

function factsOf(state: string): InstanceFacts {
  return inOrder.find(([, name]) => name === state)?.[0] ?? {};
}
