import type { Command } from "commander";
import type { ShownMessage, ShownQueue, ShownStats, ShownWhole } from "../control/queue/view.ts";
import {
  adminCommand,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { count, spanText, table, timeText, type Paint } from "./output.ts";
import { UsageError } from "./settings.ts";

interface QueueFlags extends CommonFlags {
  readonly state?: string;
  readonly route?: string;
  readonly service?: string;
  readonly limit?: string;
  readonly cursor?: string;
  readonly dead?: boolean;
  readonly waiting?: boolean;
  readonly secrets?: boolean;
}

/** Adds `queue`. `exit` is given the exit code when the command is done. */
export function queueCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  const command = adminCommand(
    program,
    "queue",
    "show, replay or delete requests of routes with delivery: async that wait or died",
    [
      "",
      "list --state dead --route webhooks",
      "show 01K3ZJ4Y0N7V9Q8R2T5W6X1ABC",
      "replay 01K3ZJ4Y0N7V9Q8R2T5W6X1ABC",
      "replay --dead --service orders",
      "purge --dead",
    ],
  );
  command
    .argument("[action]", "list, show, replay or purge (default: list)")
    .argument("[id...]", "messages to show, replay or purge")
    .option("--state <state>", "list: only those that are waiting, delivering or dead")
    .option("--dead", "replay, purge: all that are dead")
    .option("--waiting", "replay, purge: all that wait; replayed they are delivered at once")
    .option("--route <name>", "only those of this route")
    .option("--service <name>", "only those of this service")
    .option("--limit <n>", "list: the newest so many, at most 200 (default: 50)")
    .option("--cursor <text>", "list: goes on where the page before ended")
    .option("--secrets", "show: with credentials")
    .action(async (action: string | undefined, ids: readonly string[], flags: QueueFlags) => {
      const run = actionOf(action ?? "list", ids, flags);
      exit(await runCommand(flags, io, run));
    });
}

/** Throws a UsageError. */
function actionOf(
  action: string,
  ids: readonly string[],
  flags: QueueFlags,
): (context: CommandContext) => Promise<number> {
  switch (action) {
    case "list":
      if (ids.length > 0) throw new UsageError(`list takes no id: headgate queue show ${ids[0] ?? ""} shows one.`);
      return (context) => listMessages(flags, context);
    case "show": {
      const [id, ...more] = ids;
      if (id === undefined || more.length > 0) throw new UsageError("show takes the id of one message.");
      return (context) => showMessage(id, flags, context);
    }
    case "replay":
    case "purge": {
      const state = chosenState(action, ids, flags);
      return (context) => changeMessages(action, ids, state, flags, context);
    }
    default:
      throw new UsageError(`"${action}" is nothing that queue does; give list, show, replay or purge.`);
  }
}

/** Which messages are meant: those named, or all in a state. Throws a UsageError. */
function chosenState(action: string, ids: readonly string[], flags: QueueFlags): string | undefined {
  const { dead = false, waiting = false, route, service } = flags;
  const filtered = dead || waiting || route !== undefined || service !== undefined;
  if (ids.length > 0) {
    if (filtered) throw new UsageError(`${action} takes ids, or --dead, --waiting, --route and --service: not both.`);
    return undefined;
  }
  if (dead === waiting) throw new UsageError(`Say what to ${action}: ids, --dead or --waiting.`);
  return dead ? "dead" : "waiting";
}

async function listMessages(flags: QueueFlags, { client, print, paint, io }: CommandContext): Promise<number> {
  const { state, route, service, limit, cursor } = flags;
  const { value } = await client.json({ path: "/v1/queue", query: { state, route, service, limit, cursor } });
  const nowMs = io.clock.wall();
  print(value as ShownQueue, (shown) => queueText(shown, nowMs, paint)); // what the admin API answers
  return 0;
}

async function showMessage(id: string, { secrets }: QueueFlags, context: CommandContext): Promise<number> {
  const { client, print, paint } = context;
  const query = { secrets: secrets === true ? "true" : undefined };
  const { value } = await client.json({ path: `/v1/queue/${encodeURIComponent(id)}`, query });
  print(value as ShownWhole, (shown) => messageText(shown, paint)); // what the admin API answers
  return 0;
}

/** 1 where no message was there to be changed. */
async function changeMessages(
  action: "replay" | "purge",
  ids: readonly string[],
  state: string | undefined,
  { route, service }: QueueFlags,
  { client, print }: CommandContext,
): Promise<number> {
  let changed = 0;
  if (state === undefined) {
    for (const id of ids) {
      const path = `/v1/queue/${encodeURIComponent(id)}`;
      changed += countOf(
        await client.json(action === "purge" ? { method: "DELETE", path } : { method: "POST", path: `${path}/replay` }),
      );
    }
  } else if (action === "purge") {
    changed = countOf(await client.json({ method: "DELETE", path: "/v1/queue", query: { state, route, service } }));
  } else {
    const body = { state, route, service };
    changed = countOf(await client.json({ method: "POST", path: "/v1/queue/replay", body }));
  }
  const done = action === "purge" ? "purged" : "replayed";
  print({ [done]: changed }, () => `${count(changed, "message")} ${done}.\n`);
  return changed === 0 && ids.length > 0 ? 1 : 0;
}

function countOf({ value }: { readonly value: unknown }): number {
  const { replayed, purged } = value as { readonly replayed?: number; readonly purged?: number }; // the admin API's
  return replayed ?? purged ?? 0;
}

function queueText({ stats, messages, cursor }: ShownQueue, nowMs: number, paint: Paint): string {
  const counts = statsText(stats, nowMs);
  if (messages.length === 0) return counts;
  const rows = messages.map((message) => [
    message.id,
    stateText(message, paint),
    message.route,
    message.service,
    requestText(message),
    String(message.attempts),
    spanText((nowMs - Date.parse(message.firstAt)) / 1_000),
    nextText(message, nowMs),
    message.lastError ?? "",
  ]);
  const headings = ["ID", "STATE", "ROUTE", "SERVICE", "REQUEST", "FAILED", "AGE", "NEXT", "LAST ERROR"];
  const more = cursor === null ? "" : `There are more: add --cursor ${cursor}\n`;
  return `${counts}\n${table(headings, rows)}${more}`;
}

function statsText({ waiting, delivering, dead, bytes, oldestAt, dropped }: ShownStats, nowMs: number): string {
  const age = oldestAt === null ? "" : `, the oldest for ${spanText((nowMs - Date.parse(oldestAt)) / 1_000)}`;
  const lost = dropped === 0 ? "" : ` (${dropped} dropped for newer ones)`;
  return `${waiting} waiting, ${delivering} being delivered (${bytes} bytes${age}), ${dead} dead${lost}\n`;
}

function stateText({ state, cause }: ShownMessage, paint: Paint): string {
  if (state === "dead") return paint.bad(cause === undefined ? "dead" : `dead: ${cause}`);
  return state === "delivering" ? paint.good(state) : state;
}

function requestText({ method, path }: ShownMessage): string {
  return method === undefined ? "(sealed with another key)" : `${method} ${path ?? ""}`;
}

function nextText({ nextAt }: ShownMessage, nowMs: number): string {
  if (nextAt === undefined) return "-";
  const seconds = (Date.parse(nextAt) - nowMs) / 1_000;
  return seconds <= 0 ? "now" : `in ${spanText(seconds)}`;
}

function messageText(message: ShownWhole, paint: Paint): string {
  const { id, route, service, idempotencyKey, bytes, attempts, firstAt, nextAt, deadline, diedAt } = message;
  const facts: [string, string | undefined][] = [
    ["message", id],
    ["state", stateText(message, paint)],
    ["route", route],
    ["service", service],
    ["key", idempotencyKey],
    ["bytes", String(bytes)],
    ["failed", String(attempts)],
    ["queued", timeText(firstAt)],
    ["next", nextAt === undefined ? undefined : timeText(nextAt)],
    ["deadline", timeText(deadline)],
    ["died", diedAt === undefined ? undefined : timeText(diedAt)],
  ];
  const lines = facts.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(10)}${value}`]));
  for (const { at, text } of message.errors) lines.push(`${"error".padEnd(10)}${timeText(at)}  ${text}`);
  lines.push("", paint.strong(requestText(message)));
  for (const [name, value] of message.headers) lines.push(`${name}: ${value}`);
  const { body } = message;
  if (body !== undefined) lines.push("", body.text ?? `(base64) ${body.base64 ?? ""}`);
  if (body?.truncated === true) lines.push(paint.quiet("(the body goes on)"));
  return `${lines.join("\n")}\n`;
}
