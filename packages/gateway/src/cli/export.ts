import { resolve as resolvePath } from "node:path";
import type { Command } from "commander";
import {
  adminCommand,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { writePrivateFile } from "../core/write-private-file.ts";
import { CommandError } from "./command-error.ts";
import { UsageError } from "./settings.ts";

interface ExportFlags extends CommonFlags {
  readonly format?: string;
  readonly secrets?: boolean;
}

/** Adds `export`. `exit` is given the exit code when the command is done. */
export function exportCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  const examples = ["", "--secrets -o backup.yaml"];
  adminCommand(program, "export", "print what is live as one document", examples, "-o, --output <file>")
    .option("--format <format>", "yaml or json (default: yaml; -o yaml and -o json are this too)")
    .option("--secrets", "show secrets; without them the document cannot be applied")
    .action(async ({ output, ...flags }: ExportFlags) => {
      exit(await runCommand(flags, io, (context) => exported(output, flags, context)));
    });
}

async function exported(
  output: string | undefined,
  { format, secrets }: ExportFlags,
  context: CommandContext,
): Promise<number> {
  const { client, io } = context;
  const isFormat = output === "json" || output === "yaml";
  const wanted = format ?? (isFormat ? output : output?.endsWith(".json") === true ? "json" : "yaml");
  if (wanted !== "json" && wanted !== "yaml")
    throw new UsageError(`"${wanted}" is not a format; use --format yaml or --format json.`);
  const query = { format: wanted, secrets: secrets === true ? "true" : undefined };
  const { text } = await client.call({ path: "/v1/export", query });
  const shown = wanted === "json" ? `${JSON.stringify(JSON.parse(text), undefined, 2)}\n` : text;
  if (output === undefined || output === "-" || isFormat) io.stdout(shown);
  else await writeFile(resolvePath(io.cwd, output), shown);
  return 0;
}

async function writeFile(path: string, text: string): Promise<void> {
  try {
    await writePrivateFile(path, text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(1, `${path} could not be written (${reason}); name another file with -o.`, { cause: error });
  }
}
