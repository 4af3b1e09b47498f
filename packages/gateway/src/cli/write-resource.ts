import type { Command } from "commander";
import { globalSettings, type Kind } from "../control/layout.ts";
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
import type { AdminCall } from "./admin-client.ts";
import { send } from "./apply.ts";
import { checkName } from "./get.ts";
import { kindOf, resourcePath } from "./kinds.ts";
import { UsageError } from "./settings.ts";
import { readDocuments, readPlugin, stdinName, type WrittenDocuments } from "./written-documents.ts";

interface WriteFlags extends CommonFlags, ChangeFlags {
  readonly ifMatch?: string;
}

interface PutFlags extends WriteFlags {
  readonly file: string;
}

/** Adds `put` and `delete`. `exit` is given the exit code when the command is done. */
export function writeCommands(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  const puts = [
    "route users -f users.yaml",
    "plugin greet -f greet.ts --message 'greets in French'",
    "route users -f users.yaml --if-match 12",
  ];
  writeFlags(adminCommand(program, "put", "create or replace one resource", puts))
    .requiredOption(
      "-f, --file <file>",
      "the resource alone, as YAML or JSON; a plugin's TypeScript; - is standard input",
    )
    .action(async (kind: string, name: string, flags: PutFlags) => {
      const wanted = kindOf(kind);
      exit(await runCommand(flags, io, (context) => put(wanted, name, flags, context)));
    });
  writeFlags(adminCommand(program, "delete", "delete one resource", ["route users", "route users --dry-run"])).action(
    async (kind: string, name: string, flags: WriteFlags) => {
      const wanted = kindOf(kind);
      const call: AdminCall = { method: "DELETE", path: "" };
      exit(await runCommand(flags, io, (context) => write(wanted, name, nothingRead, call, flags, context)));
    },
  );
}

function writeFlags(command: Command): Command {
  command
    .argument("<kind>", "routes, services, middlewares, consumers, certificates, plugins or settings")
    .argument("<name>", "the resource; of settings there is global");
  return changeFlags(command).option(
    "--if-match <revision>",
    "only if this is the revision of its last change; * if it exists",
  );
}

async function put(kind: Kind, name: string, flags: PutFlags, context: CommandContext): Promise<number> {
  checkName(kind, name);
  const { value, read } = await readResource(kind, name, flags.file, context.io);
  return write(kind, name, read, { method: "PUT", path: "", body: value }, flags, context);
}

/** What deletes has no file that problems could be in. */
const nothingRead: WrittenDocuments = { sections: {}, warnings: [], locate: (problem) => problem };

/** 0 where it is done and, if waited for, every gateway runs it; 1 where one does not. */
async function write(
  kind: Kind,
  name: string,
  read: WrittenDocuments,
  call: AdminCall,
  { dryRun, message, wait, ifMatch }: WriteFlags,
  context: CommandContext,
): Promise<number> {
  checkName(kind, name);
  const answer = await send(context, read, {
    ...call,
    path: resourcePath(kind, name),
    query: { dryRun: dryRun === true ? "true" : undefined, message, wait },
    headers: { ...authorHeader(context.io), ...(ifMatch === undefined ? {} : { "if-match": etagOf(ifMatch) }) },
    waitMs: waitMsOf(wait),
  });
  return answer.waited?.complete === false ? 1 : 0;
}

function etagOf(revision: string): string {
  if (revision === "*") return revision;
  const digits = /^"?([1-9]\d{0,15})"?$/.exec(revision)?.[1];
  if (digits === undefined) throw new UsageError(`--if-match is "${revision}": give a revision that get shows, or *.`);
  return `"${digits}"`;
}

interface ReadResource {
  readonly value: unknown;
  readonly read: WrittenDocuments;
}

/** A resource from a file: a document's part, or a plugin's code. Rejects with a CommandError. */
async function readResource(kind: Kind, name: string, file: string, io: CommandSurroundings): Promise<ReadResource> {
  if (kind === "plugins") {
    if (/\.[cm]?[jt]s$/.test(file)) {
      const { value, warnings } = await readPlugin(file, io.cwd);
      return { value, read: { ...nothingRead, warnings } };
    }
    if (file === stdinName) {
      const text = await io.readStdin();
      // Code is no map with a source; what `get` printed is one.
      if (!/^\s*(?:source\s*:|\{\s*"source"\s*:)/.test(text)) return { value: { source: text }, read: nothingRead };
      return readPart(kind, name, file, { ...io, readStdin: () => Promise.resolve(text) });
    }
  }
  return readPart(kind, name, file, io);
}

async function readPart(kind: Kind, name: string, file: string, io: CommandSurroundings): Promise<ReadResource> {
  const at = kind === "settings" ? [globalSettings] : [kind, name];
  const read = await readDocuments([file], io, at);
  const section: unknown = Reflect.get(read.sections, at[0] ?? "");
  return { value: kind === "settings" ? section : Reflect.get(Object(section), name), read };
}
