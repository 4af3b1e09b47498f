import type { Command } from "commander";
import type { GatewayEvent } from "../control/events.ts";
import type { Kind } from "../control/layout.ts";
import {
  adminCommand,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { CommandError, problemText, RefusedError } from "./command-error.ts";
import { EventParser, type ServerEvent } from "./event-parser.ts";
import { paintState } from "./instances.ts";
import { kindOf } from "./kinds.ts";
import { count, printable, timeText, type Paint } from "./output.ts";
import { pause } from "./pause.ts";
import { UsageError } from "./settings.ts";

/** Adds `watch`. `exit` is given the exit code when the command is done. */
export function watchCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  adminCommand(program, "watch", "print what happens as it happens, until interrupted", ["", "routes", "-o json"])
    .argument("[kind]", "only changes of this kind, and what is wrong with it")
    .action(async (kind: string | undefined, flags: CommonFlags) => {
      const wanted = kind === undefined ? undefined : kindOf(kind);
      exit(await runCommand(flags, io, (context) => watch(wanted, context)));
    });
}

/** Unless the gateway asks for another time. */
const retryMsDefault = 2_000;
/** A gateway that ends for good is asked less and less often. */
const retryMsMax = 30_000;
/** The gateway writes something every 15 seconds; after three times that nobody is there. */
const silenceMsMax = 45_000;

/** 0 when it is interrupted. Rejects with a CommandError where the gateway cannot be reached at first, or refuses. */
async function watch(kind: Kind | undefined, context: CommandContext): Promise<number> {
  const { io, client, format } = context;
  if (format === "yaml") throw new UsageError("watch prints lines: use -o json, or no -o.");
  const parser = new EventParser();
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) io.onSignal(signal, () => stop.abort());
  let connected = false;
  let attempts = 0;
  const onText = (text: string): void => {
    if (!connected && io.screen !== undefined) io.stderr(`Watching ${client.address}; Ctrl-C ends it.\n`);
    else if (attempts > 0) io.stderr(`Connected to ${client.address} again.\n`);
    connected = true;
    attempts = 0;
    for (const event of parser.push(text)) tell(event, parser.lastId, kind, context);
  };
  for (;;) {
    const reason = await readStream(context, parser, stop.signal, onText, connected);
    if (stop.signal.aborted) return 0;
    parser.reset();
    const delayMs = Math.min((parser.retryMs ?? retryMsDefault) * 2 ** attempts++, retryMsMax);
    io.stderr(`${printable(reason)} It is tried again in ${delayMs / 1_000} s.\n`);
    await pause(io.timers, delayMs, stop.signal);
    if (stop.signal.aborted) return 0;
  }
}

/** Reads until the stream ends; answers why it did. */
async function readStream(
  { client, io }: CommandContext,
  parser: EventParser,
  stop: AbortSignal,
  onText: (text: string) => void,
  connected: boolean,
): Promise<string> {
  const silence = new AbortController();
  const expect = (): (() => void) => io.timers.after(silenceMsMax, () => silence.abort());
  let cancel = expect();
  const heard = (text: string): void => {
    cancel();
    cancel = expect();
    onText(text);
  };
  const headers: Record<string, string> = parser.lastId === undefined ? {} : { "last-event-id": parser.lastId };
  try {
    await client.stream({ path: "/v1/events", headers }, AbortSignal.any([stop, silence.signal]), heard);
    return silence.signal.aborted
      ? `The gateway at ${client.address} says nothing any more.`
      : "The gateway ended the stream.";
  } catch (error) {
    const isFinal = error instanceof RefusedError && error.status < 500;
    if (!connected || isFinal || !(error instanceof CommandError)) throw error;
    return error.message;
  } finally {
    cancel();
  }
}

/** What the gateway may send: an event of it, or that some were missed. */
type Told = GatewayEvent | { readonly type: "missed"; readonly after: number };

function tell(
  { type, data }: ServerEvent,
  id: string | undefined,
  kind: Kind | undefined,
  context: CommandContext,
): void {
  const { io, format, paint } = context;
  let facts: unknown;
  try {
    facts = JSON.parse(data);
  } catch {
    return;
  }
  const event = ofKind({ ...(facts as object), type } as Told, kind); // what the admin API sends
  if (event === undefined) return;
  if (format === "json") {
    const { type: name, ...rest } = event;
    io.stdout(`${JSON.stringify({ event: name, id, ...rest })}\n`);
    return;
  }
  const time = timeText(new Date(io.clock.wall()).toISOString()).slice(11);
  for (const line of eventLines(printable(event), paint)) io.stdout(`${time}  ${line}\n`);
}

/** The part of an event that is about a kind; undefined where none is. */
function ofKind(event: Told, kind: Kind | undefined): Told | undefined {
  if (kind === undefined) return event;
  if (event.type === "change") {
    const writes = event.writes.filter((write) => write.kind === kind);
    return writes.length === 0 ? undefined : { ...event, writes };
  }
  if (event.type === "rejected") {
    const section = kind === "settings" ? "global" : kind;
    const problems = event.problems.filter(({ path }) => path.startsWith(section));
    // An empty list says that all is well again: of other kinds it would say so too often.
    return problems.length === 0 && event.problems.length > 0 ? undefined : { ...event, problems };
  }
  return event.type === "missed" ? event : undefined;
}

/** Resources that one line names; of more the number is told. */
const namedMax = 5;

function eventLines(event: Told, paint: Paint): readonly string[] {
  switch (event.type) {
    case "change": {
      const { revision, writes } = event;
      const words = { create: paint.good("created"), update: paint.doubtful("updated"), delete: paint.bad("deleted") };
      const named = writes.slice(0, namedMax).map(({ kind, name, action }) => `${kind}/${name} ${words[action]}`);
      const left = Math.max(0, writes.length - namedMax) + moreOf(event);
      return [`revision ${revision}: ${named.join(", ")}${left === 0 ? "" : ` and ${left} more`}`];
    }
    case "rejected": {
      if (event.problems.length === 0) return [paint.good("nothing is rejected")];
      const left = moreOf(event);
      const told = event.problems.map((problem) => paint.bad(problemText(problem).replaceAll("\n    ", "; ")));
      return left === 0 ? told : [...told, `and ${left} more problems`];
    }
    case "node":
      return [`gateway ${event.id} ${nodeText(event.state, event.revision)}`];
    case "instance":
      return [`${event.service}: ${event.instance} is ${stateText(event, paint)}`];
    case "breaker": {
      const whose = event.instance === undefined ? "" : ` of ${event.instance}`;
      return [`${event.service}: the circuit breaker${whose} is ${breakerText(event, paint)}`];
    }
    case "queue":
      return deathLines(event, paint);
    case "store":
      return [event.connected ? paint.good(event.reason) : paint.bad(event.reason)];
    case "missed":
      return [paint.doubtful("some events were missed")];
    default:
      // Of a newer gateway.
      return [JSON.stringify(event)];
  }
}

function stateText({ state, reason }: Extract<GatewayEvent, { type: "instance" }>, paint: Paint): string {
  const shown = state === "gone" ? paint.doubtful(state) : paintState(state, paint);
  return reason === undefined ? shown : `${shown}: ${reason}`;
}

function breakerText({ state, reason }: Extract<GatewayEvent, { type: "breaker" }>, paint: Paint): string {
  const colours = { closed: paint.good, "half-open": paint.doubtful, open: paint.bad };
  return reason === undefined ? colours[state](state) : `${colours[state](state)}: ${reason}`;
}

/** One line for each service and cause: thousands can die at once. */
function deathLines(event: Extract<GatewayEvent, { type: "queue" }>, paint: Paint): string[] {
  const causes = { deadline: "the time was over", refused: "refused", unreadable: "cannot be read" };
  const groups = Map.groupBy(event.dead, ({ service, cause }) => `${service} ${cause}`);
  const lines = [...groups.values()].flatMap((dead) => {
    const [first] = dead;
    if (first === undefined) return [];
    const named = dead.length <= namedMax ? `: ${dead.map(({ id }) => id).join(", ")}` : "";
    return `${first.service}: ${paint.bad(`${count(dead.length, "message")} died, ${causes[first.cause]}`)}${named}`;
  });
  const left = moreOf(event);
  return left === 0 ? lines : [...lines, `and ${count(left, "more message")}`];
}

function nodeText(state: "joined" | "left" | "updated", revision: number): string {
  return state === "left"
    ? `left; it ran revision ${revision}`
    : `${state === "joined" ? "joined and " : ""}runs revision ${revision}`;
}

/** Entries that the gateway left out of an event's list. */
function moreOf(event: object): number {
  return "more" in event && typeof event.more === "number" ? event.more : 0;
}
