import type { Command } from "commander";
import type { Change, RecordedWrite } from "../control/change/change.ts";
import { differenceOf } from "../control/change/difference.ts";
import type { Kind } from "../control/layout.ts";
import {
  adminCommand,
  authorHeader,
  changeFlags,
  runCommand,
  waitMsOf,
  type ChangeFlags,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { changeText, differenceLines, type ChangeAnswer } from "./change-text.ts";
import { kindOf } from "./kinds.ts";
import { table, timeText, type Paint } from "./output.ts";
import { UsageError } from "./settings.ts";

interface HistoryFlags extends CommonFlags {
  readonly limit?: string;
  readonly secrets?: boolean;
}

/** Adds `history`, `rollback` and `confirm`. `exit` is given the exit code when the command is done. */
export function historyCommands(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  adminCommand(program, "history", "say who changed what and when, the newest first", [
    "",
    "route users",
    "-o json --limit 1",
  ])
    .argument("[kind]", "only changes of this kind")
    .argument("[name]", "only changes of this resource, with what they changed of it")
    .option("--limit <n>", "the newest so many, at most 200 (default: 50)")
    .option("--secrets", "show secrets")
    .action(async (kind: string | undefined, name: string | undefined, flags: HistoryFlags) => {
      const wanted = kind === undefined ? undefined : kindOf(kind);
      exit(await runCommand(flags, io, (context) => history(wanted, name, flags, context)));
    });
  const rollbacks = ["42 --dry-run", "42 --message 'the new routes lost requests' --wait 10s"];
  changeFlags(
    adminCommand(program, "rollback", "make the configuration what it was at a revision, as a new one", rollbacks),
  )
    .argument("<revision>", "one that history shows")
    .action(async (revision: string, flags: CommonFlags & ChangeFlags) => {
      const wanted = revisionOf(revision);
      exit(await runCommand(flags, io, (context) => rollback(wanted, flags, context)));
    });
  adminCommand(program, "confirm", "keep a change that apply --confirm made", ["", "mk3h2w8q-4f"])
    .argument("[change]", "its id (default: the one that waits)")
    .action(async (change: string | undefined, flags: CommonFlags) => {
      exit(await runCommand(flags, io, (context) => confirm(change, context)));
    });
}

async function history(
  kind: Kind | undefined,
  name: string | undefined,
  { limit, secrets }: HistoryFlags,
  { client, print, paint }: CommandContext,
): Promise<number> {
  if (limit !== undefined && !/^[1-9]\d{0,3}$/.test(limit))
    throw new UsageError(`--limit is "${limit}": give a number from 1 to 200.`);
  const query = { limit, kind, name, secrets: secrets === true ? "true" : undefined };
  const { value } = await client.json({ path: "/v1/changes", query });
  const answer = value as { readonly changes: readonly Change[] }; // what the admin API answers
  print(answer, ({ changes }) => {
    if (changes.length === 0) return "No change is recorded.\n";
    if (kind === undefined || name === undefined) return changeTable(changes);
    return changes.map((change) => resourceHistory(change, kind, name, paint)).join("");
  });
  return 0;
}

function changeTable(changes: readonly Change[]): string {
  const rows = changes.map((change) => {
    const { id, revision, time, author, message } = change;
    return [String(revision), timeText(time), author, actionOf(change), id, writesText(change.writes), message];
  });
  return table(["REVISION", "TIME", "AUTHOR", "ACTION", "CHANGE", "RESOURCES", "MESSAGE"], rows);
}

function actionOf({ action, of, partial }: Change): string {
  const taken = of === undefined ? "" : ` of ${of}`;
  return `${action}${taken}${partial === true ? " (in part)" : ""}`;
}

/** Resources that a line names; of more the number is told. */
const namedMax = 3;

function writesText(writes: readonly RecordedWrite[]): string {
  const named = writes.slice(0, namedMax).map(({ kind, name }) => `${kind}/${name}`);
  const more = writes.length > namedMax ? ` and ${writes.length - namedMax} more` : "";
  return `${named.join(", ")}${more}`;
}

/** What one change did to one resource. */
function resourceHistory(change: Change, kind: Kind, name: string, paint: Paint): string {
  const { id, revision, time, author, message, truncated } = change;
  const writes = change.writes.filter((write) => write.kind === kind && write.name === name);
  const facts = [
    timeText(time),
    author,
    actionOf(change),
    id,
    ...(message === "" ? [] : [message.replace(/\s*\n\s*/g, " ")]),
  ];
  // Values that were not recorded cannot be compared; both being absent is not the same as both being equal.
  // The gateway has hidden secrets already, unless they were asked for.
  const known =
    truncated === true ? writes.map((write) => ({ ...write, changes: [] })) : differenceOf(writes, (write) => write);
  const left = truncated === true ? ["    the change was too large to record its values"] : [];
  const lines = [
    `${paint.strong(`revision ${revision}`)}  ${facts.join("  ")}`,
    ...known.flatMap((one) => differenceLines(one, paint)),
    ...left,
  ];
  return `${lines.join("\n")}\n`;
}

function revisionOf(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new UsageError(`"${text}" is not a revision; give one that headgate history shows.`);
}

/** 0 where it is done and, if waited for, every gateway runs it; 1 where one does not. */
async function rollback(
  revision: number,
  flags: ChangeFlags,
  { client, io, print, paint }: CommandContext,
): Promise<number> {
  const { dryRun, message, wait } = flags;
  const body = { revision, dryRun, message, wait };
  const call = {
    method: "POST",
    path: "/v1/rollback",
    body,
    headers: authorHeader(io),
    waitMs: waitMsOf(wait),
  } as const;
  const answer = (await client.json(call)).value as ChangeAnswer; // what the admin API answers to a change
  print(answer, (shown) => changeText(shown, shown.warnings, paint));
  return answer.waited?.complete === false ? 1 : 0;
}

async function confirm(change: string | undefined, { client, io, print }: CommandContext): Promise<number> {
  const call = { method: "POST", path: "/v1/confirm", body: { change }, headers: authorHeader(io) } as const;
  const answer = (await client.json(call)).value as { readonly change: string }; // what the admin API answers
  print(answer, ({ change: id }) => `Change ${id} stays.\n`);
  return 0;
}
