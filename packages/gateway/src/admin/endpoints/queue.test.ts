import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { QueueError, type ListQuery } from "../../control/queue/queue.ts";
import type { Chosen, ShownMessage, ShownQueue } from "../../control/queue/view.ts";
import { admin } from "../admin.fixtures.ts";

const id = "01ARYZ6S410000000000000000";
const message: ShownMessage = {
  ...{ id, state: "dead", route: "r", service: "s", method: "POST", path: "/a", idempotencyKey: id, bytes: 3 },
  ...{ attempts: 1, firstAt: "2026-01-01T00:00:00.000Z", deadline: "2026-01-02T00:00:00.000Z", cause: "refused" },
};
const stats = { waiting: 0, delivering: 0, dead: 1, bytes: 0, deadBytes: 3, oldestAt: null, dropped: 0 };

async function open(t: TestContext, failure?: Error) {
  const asked: unknown[] = [];
  const answer = <T>(what: unknown, value: T): Promise<T> => {
    asked.push(what);
    return failure === undefined ? Promise.resolve(value) : Promise.reject(failure);
  };
  const listed: ShownQueue = { stats, messages: [message], cursor: "7" };
  const { trusted, call } = await admin(t, {
    queue: {
      list: (query: ListQuery) => answer(query, listed),
      get: (wanted, secrets) =>
        answer({ get: wanted, secrets }, wanted === id ? { ...message, headers: [], errors: [] } : undefined),
      replay: (chosen: Chosen) => answer({ replay: chosen }, "ids" in chosen && !chosen.ids.includes(id) ? 0 : 2),
      purge: (chosen: Chosen) => answer({ purge: chosen }, "ids" in chosen && !chosen.ids.includes(id) ? 0 : 2),
    },
  });
  return { asked, trusted, call };
}

test("the queue is listed with its counts, narrowed and in pages as asked", async (t) => {
  const { trusted, asked, call } = await open(t);
  assert.equal((await call("/v1/queue")).status, 401);
  const answer = await trusted("/v1/queue?state=dead&route=r&service=s&limit=3&cursor=9");
  assert.deepEqual([answer.status, answer.json()], [200, { stats, messages: [message], cursor: "7" }]);
  assert.deepEqual(asked, [{ state: "dead", route: "r", service: "s", limit: 3, cursor: "9" }]);
  assert.equal((await trusted("/v1/queue?state=lost")).status, 400);
  assert.equal((await trusted("/v1/queue?limit=0")).status, 400);
});

test("one message is shown, its credentials where they are asked for", async (t) => {
  const { trusted, asked } = await open(t);
  assert.equal((await trusted(`/v1/queue/${id.toLowerCase()}?secrets=true`)).json()["id"], id);
  assert.deepEqual(asked, [{ get: id, secrets: true }]);
  const gone = await trusted(`/v1/queue/${id.replace("A", "B")}`);
  assert.deepEqual([gone.status, /no message/.test(gone.text)], [404, true]);
  assert.equal((await trusted("/v1/queue/17")).status, 400);
});

test("messages are replayed by id, by kind, and the dead ones where nothing is said", async (t) => {
  const { trusted, asked } = await open(t);
  const post = (path: string, body?: unknown) =>
    trusted(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  assert.deepEqual((await post(`/v1/queue/${id}/replay`)).json(), { replayed: 2 });
  assert.deepEqual((await post("/v1/queue/replay", {})).json(), { replayed: 2 });
  await post("/v1/queue/replay", { ids: [id] });
  await post("/v1/queue/replay", { state: "waiting", service: "s" });
  assert.deepEqual(asked, [
    { replay: { ids: [id] } },
    { replay: { state: "dead" } },
    { replay: { ids: [id] } },
    { replay: { state: "waiting", service: "s" } },
  ]);
  assert.equal((await post("/v1/queue/replay", { ids: [id], route: "r" })).status, 400);
  assert.equal((await post("/v1/queue/replay", { state: "delivering" })).status, 400);
  assert.equal((await post(`/v1/queue/${id.replace("A", "B")}/replay`)).status, 404);
});

test("messages are purged by id, or by kind once a state is named", async (t) => {
  const { trusted, asked } = await open(t);
  const remove = (path: string) => trusted(path, { method: "DELETE" });
  assert.deepEqual((await remove(`/v1/queue/${id}`)).json(), { purged: 2 });
  assert.deepEqual((await remove("/v1/queue?state=dead&route=r")).json(), { purged: 2 });
  assert.deepEqual(asked, [{ purge: { ids: [id] } }, { purge: { state: "dead", route: "r" } }]);
  assert.equal((await remove(`/v1/queue/${id.replace("A", "B")}`)).status, 404);
  for (const path of ["/v1/queue", "/v1/queue?route=r"]) assert.equal((await remove(path)).status, 400, path);
  assert.equal(asked.length, 3);
});

test("a queue that is away is 503 with when to come again, a full one 409", async (t) => {
  const away = await open(t, new QueueError("away", "the disk is full"));
  const answer = await away.trusted("/v1/queue");
  assert.deepEqual([answer.status, answer.headers["retry-after"]], [503, "2"]);
  assert.match(answer.text, /The disk is full\./);
  const full = await open(t, new QueueError("full", "The queue is full."));
  assert.equal((await full.trusted(`/v1/queue/${id}/replay`, { method: "POST" })).status, 409);
});
