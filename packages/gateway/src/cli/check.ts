import type { Command } from "commander";
import { formatOrigin, loadFiles } from "../control/store/file/load.ts";
import type { LoadedFile, LocatedProblem } from "../control/store/file/load.ts";
import { bundlePlugin } from "../control/bundle-plugin.ts";
import type { WrittenPlugin } from "../control/bundle-plugin.ts";
import { PluginError } from "../control/plugin-problem.ts";
import type { PluginProblem } from "../control/plugin-problem.ts";
import { resolve } from "../control/resolve.ts";
import type { MiddlewareTable } from "../control/resolve.ts";
import { middlewares } from "../middlewares/index.ts";

/** What a command gets from the outside. */
export interface CheckSurroundings {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  /** What `${NAME}` in documents reads. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What relative paths start from. */
  readonly cwd: string;
  /** One JSON object instead of text. Default false. */
  readonly json?: boolean;
  /** Default: the built-in ones. */
  readonly middlewares?: MiddlewareTable;
}

/**
 * Validates documents as one and prints every problem. Changes nothing, opens no connection, and does not look into
 * plugins. Answers the exit code: 0 valid (warnings allowed), 1 not valid or not readable, 2 called wrongly.
 */
export function runCheck(files: readonly string[], surroundings: CheckSurroundings): number {
  if (files.length === 0) return refuse(surroundings);
  const loaded = load(files, surroundings);
  return report(files, loaded, loaded.problems, surroundings);
}

/**
 * `headgate check FILE...`: `runCheck`, and plugins are built as the gateway would, though not run: what a middleware's
 * file cannot be built for is a problem with its place in that file.
 */
export async function runCheckWithPlugins(files: readonly string[], surroundings: CheckSurroundings): Promise<number> {
  if (files.length === 0) return refuse(surroundings);
  const loaded = load(files, surroundings);
  const problems = [...loaded.problems];
  for (const [name, { path = "", source }] of Object.entries(loaded.value?.resources.plugins ?? {})) {
    for (const problem of await pluginProblems(source === undefined ? { path } : { name, source })) {
      const { line = 0, column = 0 } = problem;
      problems.push({ ...problem, line, column, path: ["plugins", name], pathText: `plugins.${name}` });
    }
  }
  return report(files, loaded, problems, surroundings);
}

function refuse({ stderr }: CheckSurroundings): number {
  stderr.write("check needs the name of a document, as in: headgate check headgate.yaml\n");
  return 2;
}

function load(files: readonly string[], { env, cwd, middlewares: table = middlewares }: CheckSurroundings): LoadedFile {
  return loadFiles(files, {
    env,
    cwd,
    resolve: (resources) => resolve(resources, table, new Set(Object.keys(resources.plugins))),
  });
}

async function pluginProblems(plugin: WrittenPlugin): Promise<readonly PluginProblem[]> {
  try {
    return (await bundlePlugin(plugin)).warnings;
  } catch (error) {
    if (error instanceof PluginError) return error.problems;
    const message = `the plugin could not be built: ${error instanceof Error ? error.message : String(error)}`;
    return [{ severity: "error", message, file: "path" in plugin ? plugin.path : `plugins/${plugin.name}.ts` }];
  }
}

function report(
  files: readonly string[],
  loaded: LoadedFile,
  problems: readonly LocatedProblem[],
  { stdout, json = false }: CheckSurroundings,
): number {
  const errors = problems.filter((problem) => problem.severity === "error").length;
  stdout.write(json ? asJson(problems, errors) : asText(files, loaded, problems, errors));
  return errors > 0 ? 1 : 0;
}

/** Adds `check` to the program. `exit` is given the exit code when the command is done. */
export function checkCommand(program: Command, surroundings: CheckSurroundings, exit: (code: number) => void): Command {
  return program
    .command("check")
    .description("validate documents offline and print every problem")
    .argument("<file...>", "YAML or JSON documents; several are read as one")
    .option("-o, --output <format>", "text or json", "text")
    .addHelpText(
      "after",
      "\nExample:\n  $ headgate check headgate.yaml\n  $ headgate check -o json routes.yaml services.yaml",
    )
    .action(async (files: string[], options: { output: string }) => {
      if (options.output !== "text" && options.output !== "json") {
        surroundings.stderr.write(`-o takes text or json, not ${JSON.stringify(options.output)}\n`);
        exit(2);
        return;
      }
      exit(await runCheckWithPlugins(files, { ...surroundings, json: options.output === "json" }));
    });
}

/** One problem as people and editors read it: `file:line:column: path: message`, the way out on the next line. */
export function formatProblem(problem: LocatedProblem): string {
  const { pathText, message, hint, severity } = problem;
  const place = [formatOrigin(problem), ...(pathText === "" ? [] : [pathText])].join(": ");
  const told = `${place}: ${severity === "warning" ? "warning: " : ""}${message}`;
  return hint === undefined ? told : `${told}\n    ${hint}`;
}

function asText(
  files: readonly string[],
  { value }: LoadedFile,
  problems: readonly LocatedProblem[],
  errors: number,
): string {
  const lines = problems.map(formatProblem);
  const warnings = problems.length - errors;
  const counts = [
    ...(errors > 0 ? [count(errors, "error")] : []),
    ...(warnings > 0 ? [count(warnings, "warning")] : []),
  ];
  const verdict = errors > 0 ? "not valid" : "valid";
  const { routes = {}, services = {} } = value?.resources ?? {};
  const held = `${count(Object.keys(routes).length, "route")}, ${count(Object.keys(services).length, "service")}`;
  const facts = errors > 0 ? counts : [held, ...counts];
  return [...lines, `${files.join(", ")}: ${verdict} (${facts.join(", ")})`, ""].join("\n");
}

function asJson(problems: readonly LocatedProblem[], errors: number): string {
  const listed = problems.map(({ file, line, column, pathText, message, hint, severity }) => {
    return { file, line, column, path: pathText, message, ...(hint === undefined ? {} : { hint }), severity };
  });
  const answer = { valid: errors === 0, errors, warnings: problems.length - errors, problems: listed };
  return `${JSON.stringify(answer, null, 2)}\n`;
}

function count(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? "" : "s"}`;
}
