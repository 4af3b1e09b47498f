import type { Command } from "commander";
import { explain, parseExplainInput, type ExplainInput } from "../control/explain.ts";
import type { Explanation } from "../control/explanation.ts";
import { loadFile } from "../control/store/file/load.ts";
import { adminByDefault, openAdmin, type AdminFlags, type AdminSurroundings } from "./admin-client.ts";
import { formatProblem } from "./check.ts";
import { CommandError } from "./command-error.ts";
import { formatExplanation } from "./explain-text.ts";
import { printable } from "./output.ts";
import { UsageError } from "./settings.ts";

/** What the command reads and writes besides its arguments. */
export interface ExplainIo extends AdminSurroundings {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** Which gateway is asked, unless `file` says otherwise, and what. */
export interface ExplainArguments extends AdminFlags {
  readonly method: string;
  readonly url: string;
  /** `name: value`, as for curl. */
  readonly headers: readonly string[];
  readonly client?: string;
  /** Explains offline, on this document. */
  readonly file?: string;
  readonly json: boolean;
}

/**
 * Adds `explain` to the command line. `exit` gets 0 where a route takes the request, 1 where none does or the document
 * is not valid, 2 for arguments that make no request, 3 where the gateway could not be asked.
 */
export function explainCommand(program: Command, io: ExplainIo, exit: (code: number) => void): void {
  program
    .command("explain")
    .description("say which route takes a request and why")
    .argument("<method>", "HTTP method")
    .argument("<url>", "http://host/path?query, or a path")
    .option("-H, --header <header>", "a header of the request, 'name: value'; repeatable", collect, [])
    .option("--client <ip>", "the client's address (default: 127.0.0.1)")
    .option("-c, --config <file>", "explain offline, on this document")
    .option("--admin <url>", `ask the gateway with this admin address (default: $HEADGATE_ADMIN or ${adminByDefault})`)
    .option("--token <token>", "its admin token (default: $HEADGATE_ADMIN_TOKEN, or the file in --data-dir)")
    .option("--data-dir <dir>", "where the gateway keeps its admin token (default: $HEADGATE_DATA_DIR or ./data)")
    .option("-o, --output <format>", "text or json", "text")
    .addHelpText(
      "after",
      "\nExample:\n  $ headgate explain GET http://api.example.com/api/users/7 -H 'x-team: a' -c headgate.yaml",
    )
    .action(async (method: string, url: string, options: ExplainOptions) => {
      exit(await runOptions(method, url, options, io));
    });
}

interface ExplainOptions extends AdminFlags {
  readonly header: readonly string[];
  readonly client?: string;
  readonly config?: string;
  readonly output: string;
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

function runOptions(method: string, url: string, options: ExplainOptions, io: ExplainIo): number | Promise<number> {
  const { header, client, config, admin, token, dataDir, output } = options;
  if (output !== "text" && output !== "json") {
    return usage(io, `"${output}" is not an output format; use text or json`);
  }
  if (config !== undefined && admin !== undefined)
    return usage(io, "-c and --admin exclude each other; give one of them");
  return runExplain(
    {
      method: method.toUpperCase(),
      url,
      headers: header,
      json: output === "json",
      ...(client === undefined ? {} : { client }),
      ...(config === undefined ? {} : { file: config }),
      ...(admin === undefined ? {} : { admin }),
      ...(token === undefined ? {} : { token }),
      ...(dataDir === undefined ? {} : { dataDir }),
    },
    io,
  );
}

/** Runs the command; the exit code is described at `explainCommand`. Never rejects. */
export async function runExplain(given: ExplainArguments, io: ExplainIo): Promise<number> {
  let input: ExplainInput;
  try {
    const headers = readHeaders(given.headers);
    const client = given.client === undefined ? {} : { client: given.client };
    input = parseExplainInput({ method: given.method, url: given.url, headers, ...client });
  } catch (error) {
    return usage(io, messageOf(error));
  }
  const answer = given.file === undefined ? await ask(input, given, io) : explainFile(input, given.file, io);
  if (typeof answer === "number") return answer;
  io.stdout(given.json ? `${JSON.stringify(answer, undefined, 2)}\n` : formatExplanation(printable(answer)));
  return answer.outcome === "route" ? 0 : 1;
}

function readHeaders(lines: readonly string[]): Record<string, string[]> {
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new TypeError(`"${line}" is not a header; write 'name: value'`);
    const name = line.slice(0, colon).trim().toLowerCase();
    const values = headers.get(name) ?? [];
    values.push(line.slice(colon + 1).trim());
    headers.set(name, values);
  }
  return Object.fromEntries(headers);
}

function explainFile(input: ExplainInput, file: string, io: ExplainIo): Explanation | number {
  const { env, cwd, readFile } = io;
  const loaded = loadFile(file, readFile === undefined ? { env, cwd } : { env, cwd, readFile });
  if (loaded.value === undefined) {
    for (const problem of loaded.problems) if (problem.severity === "error") io.stderr(`${formatProblem(problem)}\n`);
    io.stderr(`${file} is not valid, so nothing can be explained; \`headgate check ${file}\` says more.\n`);
    return 1;
  }
  return explain(input, loaded.value.resources, (path) => {
    const origin = loaded.origin(path);
    return origin === undefined ? undefined : `${origin.file}:${origin.line}`;
  });
}

/** Asks a running gateway. */
async function ask(input: ExplainInput, given: ExplainArguments, io: ExplainIo): Promise<Explanation | number> {
  try {
    const { value } = await openAdmin(given, io).json({ method: "POST", path: "/v1/explain", body: input });
    return value as Explanation; // what the admin API answers
  } catch (error) {
    if (error instanceof UsageError) return usage(io, error.message);
    if (!(error instanceof CommandError)) throw error;
    io.stderr(`headgate: ${error.message}\n`);
    if (error.exitCode === 3) io.stderr("Without a gateway a document can be explained: -c FILE.\n");
    return error.exitCode;
  }
}

function usage(io: ExplainIo, message: string): number {
  io.stderr(`${message.replace(/\.$/, "")}. See \`headgate explain --help\`.\n`);
  return 2;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
