import { readFileSync } from "node:fs";
import { relative, resolve as resolvePath } from "node:path";
import type { Path, Problem, Resources } from "@headgate/schema";
import { flattenPlugin } from "../control/bundle-plugin.ts";
import { PluginError, type PluginProblem } from "../control/plugin-problem.ts";
import { resolve } from "../control/resolve.ts";
import { loadFiles, type LoadedFile } from "../control/store/file/load.ts";
import { valueAt } from "../control/store/file/settings.ts";
import { escapeReferences } from "../control/store/references.ts";
import { redacted } from "../core/secrets.ts";
import { middlewares } from "../middlewares/index.ts";
import { CommandError, problemText, RefusedError, type AnsweredProblem } from "./command-error.ts";
import { count, printable } from "./output.ts";

/** What a file that is named `-` stands for. */
export const stdinName = "-";

export interface DocumentSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly readStdin: () => Promise<string>;
}

/** Documents that were read as one, ready for a store. */
export interface WrittenDocuments {
  /** Sections with values as a store takes them: expanded, plugins as source. */
  readonly sections: object;
  /** What is doubtful in them, with its place. */
  readonly warnings: readonly AnsweredProblem[];
  /** Puts a problem of the gateway to its place in the files, if it is about something in them. */
  readonly locate: (problem: AnsweredProblem) => AnsweredProblem;
}

/**
 * Reads documents for a store: what `${...}` stands for is put in, plugins become their source, and what is wrong in
 * them by themselves is told with file, line and column. Whether what they refer to exists only the gateway knows.
 * Rejects with a CommandError. `at`: where the one document belongs if it is only a part; a plugin's is nothing but
 * itself, since code is full of `${name}`.
 */
export async function readDocuments(
  files: readonly string[],
  surroundings: DocumentSurroundings,
  at: Path = [],
): Promise<WrittenDocuments> {
  const { env, cwd, readStdin } = surroundings;
  const stdin = files.includes(stdinName) ? await readStdin() : "";
  const stdinPath = resolvePath(cwd, stdinName);
  const read = (path: string): string => (path === stdinPath ? stdin : readFileSync(path, "utf8"));
  const loaded = loadFiles(files, {
    env,
    cwd,
    at,
    readFile: at[0] === "plugins" ? (path) => escaped(read(path)) : read,
    resolve: (resources) => resolve(resources, middlewares, namesOf(resources.plugins), mayBeStored(resources)),
  });
  const problems = [...loaded.problems, ...loaded.locate(hiddenSecrets(loaded.document))].map(shown);
  if (loaded.value === undefined) throw notValid(problems);
  const plugins = await sourcesOf(loaded.value.resources, cwd, problems);
  if (problems.some(({ severity }) => severity === "error")) throw notValid(problems);
  return {
    sections: sectionsOf(loaded.document, plugins),
    warnings: problems,
    locate: (problem) => located(problem, loaded),
  };
}

/** Places where a document says `[redacted]`: it was shown to people, and stored so it would be a secret all know. */
function hiddenSecrets(value: unknown, path: Path = []): Problem[] {
  if (typeof value === "string") {
    if (value !== redacted && !value.includes(`//${redacted}@`)) return [];
    const hint = "export with --secrets, or get with -o yaml";
    return [{ path, message: `${redacted} stands in the place of a secret`, hint, severity: "error" }];
  }
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item, index) => hiddenSecrets(item, [...path, index]));
  return Object.entries(value).flatMap(([key, inner]) => hiddenSecrets(inner, [...path, key]));
}

/** A value whose texts no reader takes for references. */
function escaped<T>(value: T): T {
  return escapeReferences(value) as T; // the same with other texts
}

function namesOf(record: object): ReadonlySet<string> {
  return new Set(Object.keys(record));
}

/**
 * What the documents do not hold a store may have. A step that is neither a middleware nor named in them may be a plugin,
 * which takes settings; where it is a named configuration that takes none the gateway says so.
 */
function mayBeStored({ middlewares: named }: Resources): (kind: string, name: string) => boolean {
  return (kind, name) => kind === "services" || (kind === "plugins" && !Object.hasOwn(named, name));
}

async function sourcesOf(
  { plugins }: Resources,
  cwd: string,
  problems: AnsweredProblem[],
): Promise<ReadonlyMap<string, string>> {
  const sources = new Map<string, string>();
  for (const [name, { path }] of Object.entries(plugins)) {
    if (path === undefined) continue;
    const source = await sourceOf(path, cwd, problems, `plugins.${name}`);
    if (source !== undefined) sources.set(name, source);
  }
  return sources;
}

/** A plugin's file as one source; undefined where it could not be read or bundled, which is then told in `problems`. */
async function sourceOf(
  path: string,
  cwd: string,
  problems: AnsweredProblem[],
  place: string,
): Promise<string | undefined> {
  const tell = (problem: PluginProblem): void => {
    problems.push({ ...problem, path: place, file: relative(cwd, problem.file) || problem.file });
  };
  try {
    const { source, warnings } = await flattenPlugin(path);
    warnings.forEach(tell);
    return source;
  } catch (error) {
    if (error instanceof PluginError) error.problems.forEach(tell);
    else
      tell({
        severity: "error",
        message: `could not be read: ${error instanceof Error ? error.message : String(error)}`,
        file: path,
      });
    return undefined;
  }
}

/** A plugin's file, relative to `cwd`, as the value that a store takes. Rejects with a CommandError. */
export async function readPlugin(
  file: string,
  cwd: string,
): Promise<{ value: object; warnings: readonly AnsweredProblem[] }> {
  const problems: AnsweredProblem[] = [];
  const source = await sourceOf(resolvePath(cwd, file), cwd, problems, "");
  if (source === undefined) throw notValid(problems);
  return { value: { source }, warnings: problems };
}

/** Without the settings that are each gateway's own, and with the plugins' sources, which are not looked into. */
function sectionsOf(document: unknown, sources: ReadonlyMap<string, string>): object {
  const { plugins: named, ...rest } = Object(document) as Record<string, unknown>; // a map of sections, it is valid
  const sections = escaped(rest);
  if (named !== undefined) sections["plugins"] = named;
  // They may hold passwords. An empty section makes the gateway say that it does not take them.
  if (sections["gateway"] !== undefined) sections["gateway"] = {};
  if (sources.size === 0) return sections;
  const plugins = Object.fromEntries([...sources].map(([name, source]) => [name, { source }]));
  return { ...sections, plugins: { ...Object(named), ...plugins } };
}

function notValid(problems: readonly AnsweredProblem[]): CommandError {
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const detail = `Nothing was sent: ${count(errors, "error")}.`;
  const lines = problems.map((problem) => problemText(printable(problem)));
  const answer = { type: "about:blank", title: "The configuration is not valid", status: 422, detail, problems };
  return new CommandError(1, detail, { lines, answer });
}

function shown({
  severity,
  pathText,
  message,
  hint,
  file,
  line,
  column,
}: LoadedFile["problems"][number]): AnsweredProblem {
  return {
    severity,
    path: pathText,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(file === "" ? {} : { file }),
    ...(line === 0 ? {} : { line, column }),
  };
}

function located(problem: AnsweredProblem, loaded: LoadedFile): AnsweredProblem {
  const path = parsePath(problem.path);
  const [section = ""] = path;
  const length = section === "global" || section === "gateway" ? 1 : 2;
  // What is about another resource has no place here, though the section has one.
  if (path.length < length || valueAt(loaded.document, path.slice(0, length)) === undefined) return problem;
  const { severity, message, hint } = problem;
  const [found] = loaded.locate([{ severity, path, message, ...(hint === undefined ? {} : { hint }) }]);
  return found === undefined ? problem : shown(found);
}

const pathParts = /\.?([^\s.[\]"]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/gy;

/** The path that `formatPath` wrote; empty where it did not. */
export function parsePath(text: string): Path {
  const path: (string | number)[] = [];
  let end = 0;
  for (const [whole, name, index, quoted] of text.matchAll(pathParts)) {
    end += whole.length;
    path.push(name ?? (index === undefined ? String(JSON.parse(quoted ?? '""')) : Number(index)));
  }
  return end === text.length ? path : [];
}

/** A refusal whose problems have their places in the files; other errors as they are. */
export function locateRefusal(error: unknown, { locate, warnings }: WrittenDocuments): unknown {
  if (!(error instanceof RefusedError) || error.problems.length === 0) return error;
  const { exitCode, message, status, answer } = error;
  const problems = printable(merged(error.problems.map(locate), warnings));
  const facts = { status, problems, lines: problems.map(problemText), cause: error };
  return new RefusedError(exitCode, message, {
    ...facts,
    ...(answer === undefined ? {} : { answer: { ...answer, problems } }),
  });
}

/** What the gateway told, and what only the reading of files could tell. */
export function merged(told: readonly AnsweredProblem[], read: readonly AnsweredProblem[]): readonly AnsweredProblem[] {
  const known = new Set(told.map(({ path, message }) => `${path}\n${message}`));
  return [...told, ...read.filter(({ path, message }) => !known.has(`${path}\n${message}`))];
}
