import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { CircuitOrder, CircuitText } from "../../control/health/circuits.ts";
import { admin } from "../admin.fixtures.ts";

const whole: CircuitText = { service: "users", state: "closed" };
const one: CircuitText = { ...whole, instance: "a:1" };

/** An API over two breakers; what is ordered is noted. */
async function open(t: TestContext, isFull = false) {
  const ordered: unknown[] = [];
  const { trusted } = await admin(t, {
    circuits: {
      list: (service) => (service === undefined || service === "users" ? [whole, one] : undefined),
      order: (service: string, instance: string | undefined, order: CircuitOrder, author: string) => {
        if (isFull) throw new RangeError("1000 circuit breakers are held: let one go first.");
        if (service !== "users" || (instance !== undefined && instance !== "a:1")) return undefined;
        ordered.push([service, instance, order, author]);
        return instance === undefined ? whole : one;
      },
    },
  });
  const put = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    trusted(`/v1/circuits/${path}`, {
      method: "PUT",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  return { ordered, trusted, put };
}

test("circuit breakers are listed, of all services and of one", async (t) => {
  const { trusted } = await open(t);
  assert.deepEqual((await trusted("/v1/circuits")).json(), { circuits: [whole, one] });
  assert.deepEqual((await trusted("/v1/circuits/users")).json(), { circuits: [whole, one] });
  const none = await trusted("/v1/circuits/orders");
  assert.equal(none.status, 404);
  assert.match(String(none.json()["detail"]), /no service orders/);
});

test("a breaker is held and let go, of a service or of an instance, by whoever says so", async (t) => {
  const { put, ordered } = await open(t);
  const held = await put("users", { state: "open" }, { "x-headgate-author": "ann" });
  assert.deepEqual([held.status, held.json()], [200, whole]);
  assert.deepEqual((await put("users/A:1", { state: "auto" })).json(), one);
  assert.deepEqual(ordered, [
    ["users", undefined, "open", "ann"],
    ["users", "a:1", "auto", "admin-api"],
  ]);
});

for (const [path, body, status, detail] of [
  ["users", { state: "ajar" }, 422, /^state: /],
  ["users", {}, 422, /^state: /],
  ["users", { state: "open", for: "5s" }, 422, /for/],
  ["orders", { state: "open" }, 404, /no service orders/],
  ["users/b:1", { state: "open" }, 404, /no instance b:1: GET \/v1\/circuits\/users lists/],
] as const) {
  test(`PUT ${path} ${JSON.stringify(body)} answers ${status} and says why`, async (t) => {
    const { put, ordered } = await open(t);
    const answer = await put(path, body);
    assert.equal(answer.status, status);
    assert.match(String(answer.json()["detail"]), detail);
    assert.deepEqual(ordered, []);
  });
}

test("when too many are held the answer says what to do", async (t) => {
  const { put } = await open(t, true);
  const answer = await put("users", { state: "open" });
  assert.deepEqual(
    [answer.status, answer.json()["detail"]],
    [409, "1000 circuit breakers are held: let one go first."],
  );
});
