import type { MessageState, Selection } from "../../control/queue/queue.ts";
import type { Chosen } from "../../control/queue/view.ts";
import { isMessageId } from "../../proxy/message.ts";
import { fitting, replayBody } from "../bodies.ts";
import type { AdminAnswer, AdminEndpoint, AdminRequest } from "../endpoint.ts";
import { flag, limitOf } from "../parameters.ts";
import type { AdminParts } from "../parts.ts";
import { AdminError } from "../problem.ts";

/** Messages of routes with `delivery`: those that wait and those that died. */
export function queueEndpoints(parts: AdminParts): readonly AdminEndpoint[] {
  return [listEndpoint(parts), showEndpoint(parts), ...replayEndpoints(parts), ...purgeEndpoints(parts)];
}

function listEndpoint({ queue }: AdminParts): AdminEndpoint {
  return {
    method: "GET",
    path: "/v1/queue",
    access: "token",
    about: {
      summary: "What waits to be delivered and what died, the newest first.",
      query: ["state", "route", "service", "limit", "cursor"],
      answers: { 200: { description: "Counts and messages.", content: { "application/json": "Queue" } } },
    },
    handle: async ({ url }) => {
      const cursor = url.searchParams.get("cursor");
      const query = { ...selectionOf(url), limit: limitOf(url), ...(cursor === null ? {} : { cursor }) };
      return { status: 200, json: await queue.list(query) };
    },
  };
}

function showEndpoint({ queue }: AdminParts): AdminEndpoint {
  return {
    method: "GET",
    path: "/v1/queue/{id}",
    access: "token",
    about: {
      summary: "One message in full.",
      query: ["secrets"],
      answers: { 200: { description: "With fields and body.", content: { "application/json": "Message" } } },
    },
    handle: async (request) => {
      const id = idOf(request);
      const found = await queue.get(id, flag(request.url, "secrets"));
      if (found === undefined) throw gone(id);
      return { status: 200, json: found };
    },
  };
}

function replayEndpoints({ queue }: AdminParts): readonly AdminEndpoint[] {
  const answers = { 200: { description: "How many.", content: { "application/json": "Replayed" } } } as const;
  return [
    {
      method: "POST",
      path: "/v1/queue/replay",
      access: "token",
      about: {
        summary: "Delivers dead messages as if they were new, or waiting ones at once.",
        body: { "application/json": "ReplayRequest" },
        answers,
      },
      handle: async (request) => {
        const { ids, state = "dead", route, service } = fitting(replayBody, (await request.json()) ?? {});
        if (ids !== undefined && (route !== undefined || service !== undefined)) {
          throw new AdminError(400, "Send ids, or route and service: not both.");
        }
        const chosen: Chosen = ids !== undefined ? { ids } : { state, ...defined({ route, service }) };
        return { status: 200, json: { replayed: await queue.replay(chosen) } };
      },
    },
    {
      method: "POST",
      path: "/v1/queue/{id}/replay",
      access: "token",
      about: { summary: "Delivers one message now.", answers },
      handle: async (request) => {
        const id = idOf(request);
        const replayed = await queue.replay({ ids: [id] });
        if (replayed === 0 && (await queue.get(id, false)) === undefined) throw gone(id);
        return { status: 200, json: { replayed } };
      },
    },
  ];
}

function purgeEndpoints({ queue }: AdminParts): readonly AdminEndpoint[] {
  const answers = { 200: { description: "How many.", content: { "application/json": "Purged" } } } as const;
  return [
    {
      method: "DELETE",
      path: "/v1/queue",
      access: "token",
      about: { summary: "Deletes messages.", query: ["state", "route", "service"], answers },
      handle: async ({ url }): Promise<AdminAnswer> => {
        const selection = selectionOf(url);
        // Without it a slip of the pen would delete everything.
        if (selection.state === undefined) {
          throw new AdminError(400, "Say which: send state=dead, state=waiting or state=delivering.");
        }
        return { status: 200, json: { purged: await queue.purge(selection) } };
      },
    },
    {
      method: "DELETE",
      path: "/v1/queue/{id}",
      access: "token",
      about: { summary: "Deletes one message.", answers },
      handle: async (request) => {
        const id = idOf(request);
        const purged = await queue.purge({ ids: [id] });
        if (purged === 0) throw gone(id);
        return { status: 200, json: { purged } };
      },
    },
  ];
}

/** Throws an AdminError with 400. */
function selectionOf({ searchParams }: URL): Selection {
  const state = searchParams.get("state") ?? undefined;
  if (state !== undefined && !isState(state)) {
    throw new AdminError(400, `state is "${state}": send waiting, delivering or dead.`);
  }
  const [route, service] = [searchParams.get("route") ?? undefined, searchParams.get("service") ?? undefined];
  return defined({ state, route, service });
}

function isState(text: string): text is MessageState {
  return text === "waiting" || text === "delivering" || text === "dead";
}

/** Without what is undefined. */
function defined(selection: {
  readonly state?: MessageState | undefined;
  readonly route?: string | undefined;
  readonly service?: string | undefined;
}): Selection {
  const { state, route, service } = selection;
  return {
    ...(state === undefined ? {} : { state }),
    ...(route === undefined ? {} : { route }),
    ...(service === undefined ? {} : { service }),
  };
}

function idOf({ parameter }: AdminRequest): string {
  const id = parameter("id").toUpperCase();
  if (isMessageId(id)) return id;
  throw new AdminError(400, `"${parameter("id")}" is no id of a message: it has 26 letters and digits.`);
}

function gone(id: string): AdminError {
  return new AdminError(404, `There is no message ${id}: it was delivered, purged, or never queued.`);
}
