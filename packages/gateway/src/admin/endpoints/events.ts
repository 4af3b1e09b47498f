import type { EventBus, PublishedEvent } from "../../control/events.ts";
import type { Timers } from "../../core/timers.ts";
import type { AdminEndpoint, AdminRequest, OpenStream, StreamWriter } from "../endpoint.ts";
import type { AdminParts } from "../parts.ts";
import { AdminError } from "../problem.ts";

/** Keeps connections alive that something in between would take for idle, and finds readers that are gone. */
const heartbeatMs = 15_000;
/** A reader that takes nothing for so many heartbeats is gone, or as good as. */
const stalledHeartbeatsMax = 4;
/** How long a reader that was cut off waits before it comes back. */
const retryMs = 2_000;

/** What happens, as it happens: server-sent events (HTML Living Standard §9.2). */
export function eventEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return [
    {
      method: "GET",
      path: "/v1/events",
      access: "token",
      about: {
        summary: "Changes, rejections, gateways, instances, circuit breakers and the store, as they happen.",
        headers: ["Last-Event-ID"],
        answers: { 200: { description: "Server-sent events.", content: { "text/event-stream": "Text" } } },
      },
      handle: (request) => {
        const after = lastEventId(request);
        const open = (writer: StreamWriter): OpenStream => streamEvents(parts.events, parts.timers, writer, after);
        return { status: 200, type: "text/event-stream; charset=utf-8", open };
      },
    },
  ];
}

function lastEventId({ header }: AdminRequest): number | undefined {
  const text = header("last-event-id")?.trim() ?? "";
  if (text === "") return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw new AdminError(400, `Last-Event-ID is "${text}": send the id of an event, or none.`);
  return Number(text);
}

/**
 * Writes events as fast as the reader takes them; what it has not taken yet stays with the bus, so that a slow one costs
 * no memory. One that falls behind what the bus holds, or takes nothing for a minute, is cut off; it may come back with
 * the id it knows. `after`: the event it knows, `undefined` for new ones only.
 */
function streamEvents(bus: EventBus, timers: Timers, writer: StreamWriter, after = bus.lastId): OpenStream {
  let known = after;
  let stalledHeartbeats = 0;
  let room = writer.write(`retry: ${retryMs}\n\n`);
  if (!bus.reaches(known)) {
    // Events were dropped meanwhile, or the id is that of another process: what is held is all there is to tell.
    room = writer.write(`event: missed\ndata: ${JSON.stringify({ after: known })}\n\n`);
    known = bus.beforeOldest;
  }
  const pump = (): void => {
    if (!bus.reaches(known)) return writer.cut();
    for (let next = bus.after(known); room && next !== undefined; next = bus.after(known)) {
      room = writer.write(written(next));
      known = next.id;
    }
  };
  const beat = (): void => {
    if (room) room = writer.write(":\n\n");
    else if (++stalledHeartbeats >= stalledHeartbeatsMax) writer.cut();
  };
  const stopListening = bus.listen(pump);
  const stopBeating = timers.every(heartbeatMs, beat);
  pump();
  return {
    drained: () => {
      room = true;
      stalledHeartbeats = 0;
      pump();
    },
    closed: () => {
      stopListening();
      stopBeating();
    },
  };
}

function written({ id, type, data }: PublishedEvent): string {
  return `id: ${id}\nevent: ${type}\ndata: ${data}\n\n`;
}
