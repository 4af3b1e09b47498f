import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeAdmin, problem, run, startCommand } from "./cli.fixtures.ts";

const id = "01ARYZ6S410000000000000000";
const base = {
  ...{ id, route: "hooks", service: "orders", method: "POST", path: "/paid?a=1", idempotencyKey: "k", bytes: 30 },
  ...{ firstAt: "2025-12-31T23:57:30.000Z", deadline: "2026-01-01T23:57:30.000Z" },
};
const waiting = {
  ...base,
  state: "waiting",
  attempts: 3,
  nextAt: "2026-01-01T00:01:00.000Z",
  lastError: "a:1 answered 503.",
};
const dead = { ...base, state: "dead", attempts: 1, diedAt: "2025-12-31T23:58:00.000Z", cause: "refused" };
const stats = { waiting: 1, delivering: 0, dead: 1, bytes: 30, deadBytes: 30, oldestAt: base.firstAt, dropped: 0 };

test("queue lists what waits and what died, with what comes next and what went wrong", async (t) => {
  const answers = { "GET /v1/queue": [200, { stats, messages: [waiting, dead], cursor: "7" }] } as const;
  const { code, out } = await run(t, answers, ["queue"]);
  assert.equal(code, 0);
  assert.deepEqual(out.split("\n"), [
    "1 waiting, 0 being delivered (30 bytes, the oldest for 2m 30s), 1 dead",
    "",
    "ID                          STATE          ROUTE  SERVICE  REQUEST         FAILED  AGE     NEXT   LAST ERROR",
    `${id}  waiting        hooks  orders   POST /paid?a=1  3       2m 30s  in 1m  a:1 answered 503.`,
    `${id}  dead: refused  hooks  orders   POST /paid?a=1  1       2m 30s  -`,
    "There are more: add --cursor 7",
    "",
  ]);
  const empty = { ...stats, waiting: 0, dead: 0, bytes: 0, oldestAt: null };
  const none = await run(t, { "GET /v1/queue": [200, { stats: empty, messages: [], cursor: null }] }, [
    "queue",
    "list",
  ]);
  assert.equal(none.out, "0 waiting, 0 being delivered (0 bytes), 0 dead\n");
});

test("queue list passes on what it is narrowed to", async (t) => {
  const { address, asked } = await fakeAdmin(t, { "GET /v1/queue": [200, { stats, messages: [], cursor: null }] });
  const flags = ["--state", "dead", "--route", "hooks", "--service", "orders", "--limit", "5", "--cursor", "9"];
  const { done, said } = await startCommand(t, address, ["queue", "list", ...flags, "-o", "json"]);
  assert.equal(await done, 0, said.err);
  assert.deepEqual(asked[0]?.query, { state: "dead", route: "hooks", service: "orders", limit: "5", cursor: "9" });
  assert.deepEqual(JSON.parse(said.out), { stats, messages: [], cursor: null });
});

test("queue show prints a message as a request, with what happened to it", async (t) => {
  const whole = {
    ...dead,
    headers: [
      ["Host", "a"],
      ["Authorization", "[redacted]"],
    ],
    body: { text: '{"order":1}', truncated: true },
    errors: [{ at: "2025-12-31T23:58:00.000Z", text: "a:1 answered 404." }],
  };
  const { out } = await run(t, { [`GET /v1/queue/${id}`]: [200, whole] }, ["queue", "show", id]);
  assert.deepEqual(out.split("\n"), [
    `message   ${id}`,
    "state     dead: refused",
    "route     hooks",
    "service   orders",
    "key       k",
    "bytes     30",
    "failed    1",
    "queued    2025-12-31 23:57:30Z",
    "deadline  2026-01-01 23:57:30Z",
    "died      2025-12-31 23:58:00Z",
    "error     2025-12-31 23:58:00Z  a:1 answered 404.",
    "",
    "POST /paid?a=1",
    "Host: a",
    "Authorization: [redacted]",
    "",
    '{"order":1}',
    "(the body goes on)",
    "",
  ]);
});

for (const [args, key, sent, said] of [
  [["replay", id], `POST /v1/queue/${id}/replay`, undefined, "1 message replayed.\n"],
  [
    ["replay", "--dead", "--route", "hooks"],
    "POST /v1/queue/replay",
    { state: "dead", route: "hooks" },
    "1 message replayed.\n",
  ],
  [["purge", id], `DELETE /v1/queue/${id}`, undefined, "1 message purged.\n"],
  [
    ["purge", "--waiting", "--service", "orders"],
    "DELETE /v1/queue",
    { state: "waiting", service: "orders" },
    "1 message purged.\n",
  ],
] as const) {
  test(`queue ${args.join(" ")} asks for that and says how many`, async (t) => {
    const [action] = args;
    const { address, asked } = await fakeAdmin(t, {
      [key]: [200, { [action === "replay" ? "replayed" : "purged"]: 1 }],
    });
    const running = await startCommand(t, address, ["queue", ...args]);
    assert.equal(await running.done, 0, running.said.err);
    assert.equal(running.said.out, said);
    assert.deepEqual(
      asked[0]?.body ?? (Object.keys(asked[0]?.query ?? {}).length > 0 ? asked[0]?.query : undefined),
      sent,
    );
  });
}

test("a message that is not there ends it in 1, and what makes no sense in 2", async (t) => {
  const gone = { [`DELETE /v1/queue/${id}`]: problem(404, "There is no message.") };
  assert.equal((await run(t, gone, ["queue", "purge", id])).code, 1);
  for (const args of [
    ["lose"],
    ["show"],
    ["show", id, id],
    ["list", id],
    ["replay"],
    ["purge"],
    ["purge", "--route", "hooks"],
    ["purge", "--dead", "--waiting"],
    ["replay", id, "--dead"],
  ]) {
    assert.equal((await run(t, {}, ["queue", ...args])).code, 2, args.join(" "));
  }
});
