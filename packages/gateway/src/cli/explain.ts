import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { explain, parseExplainInput, type ExplainInput } from "../control/explain.ts";
import type { Explanation } from "../control/explanation.ts";
import { loadFile } from "../control/store/file/load.ts";
import { formatProblem } from "./check.ts";
import { formatExplanation } from "./explain-text.ts";

/** What the command reads and writes besides its arguments. */
export interface ExplainIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default: the global one. */
  readonly fetch?: typeof fetch;
  /** Throws what the file system throws. */
  readonly readFile?: (path: string) => string;
}

export interface ExplainArguments {
  readonly method: string;
  readonly url: string;
  /** `name: value`, as for curl. */
  readonly headers: readonly string[];
  readonly client?: string;
  /** Explains offline, on this document. */
  readonly file?: string;
  /** Asks the gateway with this admin address. */
  readonly admin?: string;
  /** Where the gateway keeps its token. */
  readonly dataDir: string;
  readonly json: boolean;
}

const defaultAdmin = "http://127.0.0.1:9080";
const answerLimitMs = 10_000;

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
    .option("--admin <url>", `ask the gateway with this admin address (default: ${defaultAdmin})`)
    .option("--data-dir <dir>", "where the gateway keeps its admin token", "./data")
    .option("-o, --output <format>", "text or json", "text")
    .addHelpText(
      "after",
      "\nExample:\n  $ headgate explain GET http://api.example.com/api/users/7 -H 'x-team: a' -c headgate.yaml",
    )
    .action(async (method: string, url: string, options: ExplainOptions) => {
      exit(await runOptions(method, url, options, io));
    });
}

interface ExplainOptions {
  readonly header: readonly string[];
  readonly client?: string;
  readonly config?: string;
  readonly admin?: string;
  readonly dataDir: string;
  readonly output: string;
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

function runOptions(method: string, url: string, options: ExplainOptions, io: ExplainIo): number | Promise<number> {
  const { header, client, config, admin, dataDir, output } = options;
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
      dataDir,
      json: output === "json",
      ...(client === undefined ? {} : { client }),
      ...(config === undefined ? {} : { file: config }),
      ...(admin === undefined ? {} : { admin }),
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
  io.stdout(given.json ? `${JSON.stringify(answer, undefined, 2)}\n` : formatExplanation(answer));
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
  const { env, readFile } = io;
  const loaded = loadFile(file, readFile === undefined ? { env } : { env, readFile });
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
  const admin = given.admin ?? defaultAdmin;
  const address = /^https?:\/\//.test(admin) ? admin : `http://${admin}`;
  if (!URL.canParse(address)) return usage(io, `"${admin}" is not an address; write http://127.0.0.1:9080`);
  const token = readToken(given.dataDir, io);
  if (token === undefined) {
    io.stderr(
      `No admin token in ${join(given.dataDir, "admin-token")}; name the gateway's data directory with --data-dir, ` +
        `or explain a document with -c FILE.\n`,
    );
    return 3;
  }
  try {
    const response = await (io.fetch ?? fetch)(new URL("/v1/explain", address), {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(input),
      signal: AbortSignal.timeout(answerLimitMs),
    });
    // What the admin API answers with 200 is an Explanation; anything else is refused here.
    if (response.ok) return (await response.json()) as Explanation;
    io.stderr(`The gateway at ${address} answered ${response.status}${hintFor(response.status)}.\n`);
    return response.status === 400 ? 2 : 3;
  } catch (error) {
    io.stderr(`Could not reach the gateway at ${address} (${messageOf(error)}); is it running, or use -c FILE.\n`);
    return 3;
  }
}

function readToken(dataDir: string, io: ExplainIo): string | undefined {
  const fromEnvironment = io.env["HEADGATE_ADMIN_TOKEN"];
  if (fromEnvironment !== undefined && fromEnvironment !== "") return fromEnvironment;
  try {
    return (io.readFile ?? readText)(join(dataDir, "admin-token")).trim();
  } catch {
    return undefined;
  }
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}

function hintFor(status: number): string {
  if (status === 401) return "; the token is not the gateway's, name its data directory with --data-dir";
  if (status === 503) return "; it has no configuration yet";
  return "";
}

function usage(io: ExplainIo, message: string): number {
  io.stderr(`${message}. See \`headgate explain --help\`.\n`);
  return 2;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // fetch says only "fetch failed" itself; the reason is the cause.
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}
