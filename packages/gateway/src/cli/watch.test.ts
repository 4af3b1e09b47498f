import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { fakeAdmin, problem, run, startCommand, type Answer } from "./cli.fixtures.ts";

const path = "GET /v1/events";

/** An event stream that says this first, and stays open. */
function stream(text: string, opened: (response: ServerResponse) => void = () => undefined): Answer {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`retry: 2000\n\n${text}`);
    opened(response);
  };
}

function event(type: string, data: object, id = 7): string {
  return `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

const write = (kind: string, name: string, action: string) => ({ kind, name, action });
const change = event("change", {
  revision: 43,
  writes: [write("routes", "a", "update"), write("services", "s", "create"), write("routes", "b", "delete")],
});
const many = event("change", {
  revision: 44,
  writes: Array.from({ length: 7 }, (_, index) => write("routes", `r${index}`, "create")),
  more: 500,
});
const rejected = event("rejected", {
  problems: [{ severity: "error", path: "routes.a.to", message: "there is no service", hint: "did you mean x?" }],
});
const all = [
  change,
  many,
  rejected,
  event("rejected", { problems: [] }),
  event("node", { id: "gw2", state: "joined", revision: 43 }),
  event("node", { id: "gw2", state: "left", revision: 43 }),
  event("instance", { service: "users", instance: "a:1", state: "up" }),
  event("instance", { service: "users", instance: "a:1", state: "unhealthy", before: "up", reason: "3 checks failed" }),
  event("instance", { service: "users", instance: "a:1", state: "gone", before: "unhealthy" }),
  event("breaker", { service: "users", state: "open", before: "closed", reason: "60% of 20 failed" }),
  event("breaker", { service: "users", instance: "b:1", state: "closed", before: "half-open" }),
  event("queue", {
    dead: [
      { id: "A", route: "r", service: "users", cause: "refused" },
      { id: "B", route: "r", service: "users", cause: "refused" },
      ...Array.from({ length: 6 }, (_, at) => ({ id: `C${at}`, route: "r", service: "orders", cause: "deadline" })),
    ],
    more: 1,
  }),
  event("store", { connected: false, reason: "The store is away\u001b[2J." }),
  event("missed", { after: 3 }),
  event("news", { of: "later versions" }),
].join("");

test("watch prints a line for what happens, and ends in 0 when it is interrupted", async (t) => {
  const { address } = await fakeAdmin(t, { [path]: stream(`:\n\n${all}`) });
  const { done, said, interrupt } = await startCommand(t, address, ["watch"]);
  await waitFor(() => said.out.includes("news"), { what: "the last event" });
  interrupt();
  assert.equal(await done, 0);
  assert.deepEqual(said.out.split("\n"), [
    "00:00:00Z  revision 43: routes/a updated, services/s created, routes/b deleted",
    "00:00:00Z  revision 44: routes/r0 created, routes/r1 created, routes/r2 created, routes/r3 created, routes/r4 created and 502 more",
    "00:00:00Z  routes.a.to: there is no service; did you mean x?",
    "00:00:00Z  nothing is rejected",
    "00:00:00Z  gateway gw2 joined and runs revision 43",
    "00:00:00Z  gateway gw2 left; it ran revision 43",
    "00:00:00Z  users: a:1 is up",
    "00:00:00Z  users: a:1 is unhealthy: 3 checks failed",
    "00:00:00Z  users: a:1 is gone",
    "00:00:00Z  users: the circuit breaker is open: 60% of 20 failed",
    "00:00:00Z  users: the circuit breaker of b:1 is closed",
    "00:00:00Z  users: 2 messages died, refused: A, B",
    "00:00:00Z  orders: 6 messages died, the time was over",
    "00:00:00Z  and 1 more message",
    "00:00:00Z  The store is away\ufffd[2J.",
    "00:00:00Z  some events were missed",
    '00:00:00Z  {"of":"later versions","type":"news"}',
    "",
  ]);
  assert.equal(said.err, "");
});

test("watch KIND tells of this kind only", async (t) => {
  const { address } = await fakeAdmin(t, {
    [path]: stream(all + event("change", { revision: 45, writes: [write("services", "end", "create")] })),
  });
  const { done, said, interrupt } = await startCommand(t, address, ["watch", "service", "-o", "json"]);
  await waitFor(() => said.out.includes('"end"'), { what: "the last event" });
  interrupt();
  assert.equal(await done, 0);
  const lines = said.out
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  assert.deepEqual(lines, [
    { event: "change", id: "7", revision: 43, writes: [write("services", "s", "create")] },
    { event: "rejected", id: "7", problems: [] },
    { event: "missed", id: "7", after: 3 },
    { event: "change", id: "7", revision: 45, writes: [write("services", "end", "create")] },
  ]);
});

test("a stream that ends is asked for again, behind the last event, later and later", async (t) => {
  const cut: Answer = (response) => void response.destroy();
  const first = stream(event("node", { id: "a", state: "joined", revision: 1 }, 11), (response) => response.end());
  const answers = { [path]: [first, cut, stream(event("node", { id: "b", state: "joined", revision: 1 }, 12))] };
  const { address, asked } = await fakeAdmin(t, answers);
  const { done, said, clock, interrupt } = await startCommand(t, address, ["watch"]);
  await waitFor(() => said.err.includes("2 s."), { what: "the end of the first" });
  clock.advance(1_999);
  assert.equal(asked.length, 1);
  clock.advance(1);
  await waitFor(() => said.err.includes("4 s."), { what: "the end of the second" });
  clock.advance(4_000);
  await waitFor(() => said.out.includes("gateway b"), { what: "the third" });
  interrupt();
  assert.equal(await done, 0);
  assert.deepEqual(
    asked.map(({ headers }) => headers["last-event-id"]),
    [undefined, "11", "11"],
  );
  assert.match(
    said.err,
    /^The gateway ended the stream\. It is tried again in 2 s\.\nCould not reach .*\nConnected to .* again\.\n$/,
  );
});

test("a gateway that says nothing any more is taken for gone", async (t) => {
  const { address } = await fakeAdmin(t, { [path]: stream("") });
  const { done, said, clock, interrupt } = await startCommand(t, address, ["watch"], {
    screen: { columns: () => 80, rows: () => 24 },
  });
  await waitFor(() => said.err.includes("Ctrl-C ends it"), { what: "the connection" });
  clock.advance(45_000);
  await waitFor(() => said.err.includes("says nothing any more"), { what: "the end of patience" });
  interrupt();
  assert.equal(await done, 0);
});

test("a gateway that refuses, or is not there at first, ends the command", async (t) => {
  const refused = await run(t, { [path]: problem(401, "No.") }, ["watch"]);
  assert.equal(refused.code, 3);
  const failed = await run(t, { [path]: problem(503, "100 streams are open.") }, ["watch"]);
  assert.deepEqual([failed.code, failed.err], [3, "headgate: 100 streams are open.\n"]);
  const called = await run(t, {}, ["watch", "things"]);
  assert.equal(called.code, 2);
});

test("a gateway that refuses later ends it as well", async (t) => {
  const answers = { [path]: [stream("", (response) => response.end()), problem(401, "No.")] };
  const { address } = await fakeAdmin(t, answers);
  const { done, said, clock } = await startCommand(t, address, ["watch"]);
  await waitFor(() => said.err.includes("2 s."), { what: "the end of the first" });
  clock.advance(2_000);
  assert.equal(await done, 3);
  assert.match(said.err, /does not take this token/);
});
