import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../../../../../tests/kit/wait.ts";
import { FakeClock } from "../../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../../tests/kit/fake-timers.ts";
import { EventBus, heldEventsMax } from "../../control/events.ts";
import { admin, openEvents } from "../admin.fixtures.ts";
import type { OpenStream } from "../endpoint.ts";
import type { AdminParts } from "../parts.ts";
import { streamsMax } from "../send.ts";
import { eventEndpoints } from "./events.ts";

const change = (revision: number) => ({
  type: "change" as const,
  revision,
  writes: [{ kind: "routes" as const, name: "a", action: "update" as const }],
});

test("events arrive as they happen, with ids and types", async (t) => {
  const { server, events } = await admin(t);
  events.publish(change(1));
  const { response, text } = await openEvents(t, server.address);
  assert.equal(response.headers["content-type"], "text/event-stream; charset=utf-8");
  events.publish({ type: "store", connected: false, reason: "It is gone." });
  const expected = `retry: 2000\n\nid: ${events.lastId}\nevent: store\ndata: {"connected":false,"reason":"It is gone."}\n\n`;
  await waitFor(() => text() === expected, { what: () => `the event, got ${text()}` });
});

test("who comes back with the id it knows misses nothing", async (t) => {
  const { server, events } = await admin(t);
  for (let revision = 1; revision <= 3; revision++) events.publish(change(revision));
  const known = String(events.lastId - 2);
  const { text } = await openEvents(t, server.address, { "last-event-id": known });
  await waitFor(() => /"revision":3/.test(text()), { what: "the third" });
  assert.deepEqual(
    Array.from(text().matchAll(/"revision":(\d)/g), ([, n]) => n),
    ["2", "3"],
  );
  assert.doesNotMatch(text(), /missed/);
});

for (const [what, of] of [
  ["an id that was dropped", (first: number) => first - 1],
  ["an id of another process", () => 7],
  ["an id that does not exist yet", (_: number, last: number) => last + 1],
] as const) {
  test(`who comes back with ${what} is told that it missed something, and gets what is held`, async (t) => {
    const { server, events } = await admin(t);
    const first = events.lastId + 1 + 5;
    for (let revision = 1; revision <= heldEventsMax + 5; revision++) events.publish(change(revision));
    const known = of(first - 1, events.lastId);
    const { text } = await openEvents(t, server.address, { "last-event-id": String(known) });
    await waitFor(() => text().includes(`id: ${events.lastId}\n`), { what: "the last" });
    assert.ok(text().startsWith(`retry: 2000\n\nevent: missed\ndata: {"after":${known}}\n\nid: ${first}\n`));
  });
}

test("an id that is none is refused", async (t) => {
  const { trusted } = await admin(t);
  assert.equal((await trusted("/v1/events", { headers: { "last-event-id": "x" } })).status, 400);
  assert.equal((await trusted("/v1/events", { method: "HEAD" })).status, 200);
});

test("a quiet stream gets heartbeats, and one that ended leaves nothing behind", async (t) => {
  const { server, clock, events } = await admin(t);
  const { text, close } = await openEvents(t, server.address);
  clock.advance(15_000);
  await waitFor(() => text() === "retry: 2000\n\n:\n\n", { what: "a heartbeat" });
  assert.equal(clock.pending, 1);
  close();
  await waitFor(() => clock.pending === 0, { what: "the stream's end" });
  events.publish(change(1));
});

test("streams end in order when the server does", async (t) => {
  const { server } = await admin(t);
  const { response, ended } = await openEvents(t, server.address);
  await server.close();
  await ended;
  assert.equal(response.complete, true);
});

test(`no more than ${streamsMax} streams are open`, async (t) => {
  const { server, trusted } = await admin(t);
  const open = [];
  for (let i = 0; i < streamsMax; i++) open.push(await openEvents(t, server.address));
  const refused = await trusted("/v1/events");
  assert.equal(refused.status, 503);
  assert.equal(refused.headers["retry-after"], "10");
  open[0]?.close();
  await waitFor(() => openEvents(t, server.address).then(({ response }) => response.statusCode === 200), {
    what: "room for another",
  });
});

/** A reader that takes nothing once its buffer has so many texts. */
async function slowReader(roomFor: number) {
  const clock = new FakeClock();
  const bus = new EventBus(clock);
  const [endpoint] = eventEndpoints({ events: bus, timers: fakeTimers(clock) } as AdminParts); // all it looks at
  assert.ok(endpoint);
  const answer = await endpoint.handle({
    url: new URL("http://a/v1/events"),
    parameter: () => "",
    header: () => undefined,
    read: () => Promise.reject(new Error("there is no body")),
    json: () => Promise.reject(new Error("there is no body")),
  });
  assert.ok("open" in answer);
  const sent: string[] = [];
  let room = roomFor;
  let cut = false;
  const stream: OpenStream = answer.open({
    write: (text) => {
      sent.push(text);
      return --room > 0;
    },
    end: () => undefined,
    cut: () => (cut = true),
  });
  const drain = (texts: number): void => {
    room = texts;
    stream.drained();
  };
  return { clock, bus, sent, drain, isCut: () => cut };
}

test("a slow reader is written to only when it has room, and catches up", async () => {
  const { bus, sent, drain, isCut } = await slowReader(3);
  for (let revision = 1; revision <= 10; revision++) bus.publish(change(revision));
  assert.equal(sent.length, 3);
  drain(4);
  assert.equal(sent.length, 7);
  drain(100);
  assert.equal(sent.length, 11);
  assert.match(sent.at(-1) ?? "", /"revision":10/);
  assert.equal(isCut(), false);
});

test("a reader that falls behind what is held is cut off", async () => {
  const { bus, sent, isCut } = await slowReader(1);
  for (let revision = 1; revision <= heldEventsMax; revision++) bus.publish(change(revision));
  assert.equal(isCut(), false);
  bus.publish(change(heldEventsMax + 1));
  assert.equal(isCut(), true);
  assert.equal(sent.length, 1);
});

test("a reader that takes nothing for a minute is cut off", async () => {
  const { clock, sent, isCut } = await slowReader(2);
  clock.advance(15_000);
  assert.equal(sent.length, 2);
  clock.advance(45_000);
  assert.equal(isCut(), false);
  clock.advance(15_000);
  assert.deepEqual([sent.length, isCut()], [2, true]);
});
