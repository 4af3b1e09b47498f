import type { Command } from "commander";
import {
  adminCommand,
  authorHeader,
  changeFlags,
  durationMs,
  runCommand,
  waitMsOf,
  type ChangeFlags,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import type { AdminCall } from "./admin-client.ts";
import { changeText, type ChangeAnswer } from "./change-text.ts";
import { problemText } from "./command-error.ts";
import { printable } from "./output.ts";
import { locateRefusal, merged, readDocuments, type WrittenDocuments } from "./written-documents.ts";

interface ApplyFlags extends CommonFlags, ChangeFlags {
  readonly file: readonly string[];
  readonly prune?: boolean;
  readonly confirm?: string;
}

/** Adds `apply` and `diff`. `exit` is given the exit code when the command is done. */
export function applyCommands(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  const examples = [
    "-f headgate.yaml",
    "-f routes.yaml -f services.yaml --dry-run",
    "-f headgate.yaml --prune --wait 10s --confirm 60s",
  ];
  changeFlags(filesFlag(adminCommand(program, "apply", "make the store hold what documents say", examples)))
    .option("--prune", "delete what no document holds")
    .option("--confirm <duration>", "take it back after so long unless `headgate confirm` keeps it, as in 60s")
    .action(async (flags: ApplyFlags) => exit(await runCommand(flags, io, (context) => apply(flags, context))));
  filesFlag(adminCommand(program, "diff", "say what apply would change; exit 1 if anything", ["-f headgate.yaml"]))
    .option("--prune", "with --prune apply deletes what no document holds")
    .action(async (flags: ApplyFlags) => exit(await runCommand(flags, io, (context) => diff(flags, context))));
}

function filesFlag(command: Command): Command {
  return command.requiredOption("-f, --file <file...>", "YAML or JSON documents, read as one; - is standard input");
}

/** 0 where the store holds it and, if waited for, every gateway runs it; 1 where one does not. */
async function apply(flags: ApplyFlags, context: CommandContext): Promise<number> {
  const { prune, dryRun, confirm, message, wait, file } = flags;
  const waitMs = waitMsOf(wait);
  if (confirm !== undefined) durationMs("--confirm", confirm);
  const documents = await readDocuments(file, context.io);
  const body = { documents: [documents.sections], prune, dryRun, confirm, message, wait };
  const answer = await send(context, documents, { method: "POST", path: "/v1/apply", body, waitMs });
  return answer.waited?.complete === false ? 1 : 0;
}

/** 0 where nothing differs, 1 where something does. */
async function diff({ file, prune }: ApplyFlags, context: CommandContext): Promise<number> {
  const documents = await readDocuments(file, context.io);
  const body = { documents: [documents.sections], prune, dryRun: true };
  const { diff: found } = await send(context, documents, { method: "POST", path: "/v1/apply", body });
  return found.length > 0 ? 1 : 0;
}

/** Sends a change that comes from files and prints what it came to. Rejects with a CommandError. */
export async function send(
  context: CommandContext,
  documents: WrittenDocuments,
  call: AdminCall,
): Promise<ChangeAnswer> {
  const { client, io, print, format, paint } = context;
  let answer: ChangeAnswer;
  try {
    const headers = { ...authorHeader(io), ...call.headers };
    answer = (await client.json({ ...call, headers })).value as ChangeAnswer; // what the admin API answers to a change
  } catch (error) {
    throw locateRefusal(error, documents);
  }
  const warnings = printable(merged(answer.warnings.map(documents.locate), documents.warnings));
  print(answer, (shown) => changeText(shown, warnings, paint));
  // Standard output holds the gateway's answer alone; what was only seen in the files is told beside it.
  if (format === "json" || format === "yaml") {
    for (const warning of printable(documents.warnings)) io.stderr(`${problemText(warning)}\n`);
  }
  return answer;
}
