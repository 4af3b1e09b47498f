import type { Command } from "commander";
import { formatOrigin, loadFiles } from "../control/store/file/load.ts";
import type { LoadedFile, LocatedProblem } from "../control/store/file/load.ts";
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
 * `headgate check FILE...`: validates documents as one and prints every problem. Changes nothing, opens no connection
 * and runs no code of plugins. Answers the exit code: 0 valid (warnings allowed), 1 not valid or not readable,
 * 2 called wrongly.
 */
export function runCheck(files: readonly string[], surroundings: CheckSurroundings): number {
  const { stdout, stderr, env, cwd, json = false } = surroundings;
  if (files.length === 0) {
    stderr.write("check needs the name of a document, as in: headgate check headgate.yaml\n");
    return 2;
  }
  const table = surroundings.middlewares ?? middlewares;
  const loaded = loadFiles(files, {
    env,
    cwd,
    resolve: (resources) => resolve(resources, table, new Set(Object.keys(resources.plugins))),
  });
  const errors = loaded.problems.filter((problem) => problem.severity === "error").length;
  stdout.write(json ? asJson(loaded, errors) : asText(files, loaded, errors));
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
    .action((files: string[], options: { output: string }) => {
      if (options.output !== "text" && options.output !== "json") {
        surroundings.stderr.write(`-o takes text or json, not ${JSON.stringify(options.output)}\n`);
        exit(2);
        return;
      }
      exit(runCheck(files, { ...surroundings, json: options.output === "json" }));
    });
}

/** One problem as people and editors read it: `file:line:column: path: message`, the way out on the next line. */
export function formatProblem(problem: LocatedProblem): string {
  const { pathText, message, hint, severity } = problem;
  const place = [formatOrigin(problem), ...(pathText === "" ? [] : [pathText])].join(": ");
  const told = `${place}: ${severity === "warning" ? "warning: " : ""}${message}`;
  return hint === undefined ? told : `${told}\n    ${hint}`;
}

function asText(files: readonly string[], { value, problems }: LoadedFile, errors: number): string {
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

function asJson({ problems }: LoadedFile, errors: number): string {
  const listed = problems.map(({ file, line, column, pathText, message, hint, severity }) => {
    return { file, line, column, path: pathText, message, ...(hint === undefined ? {} : { hint }), severity };
  });
  const answer = { valid: errors === 0, errors, warnings: problems.length - errors, problems: listed };
  return `${JSON.stringify(answer, null, 2)}\n`;
}

function count(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? "" : "s"}`;
}
