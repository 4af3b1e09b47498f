import type { Problem } from "@headgate/schema";

/** What is wrong in a plugin's file or in one it imports. Lines and columns from 1; absent where nothing is known. */
export interface PluginProblem {
  readonly severity: "error" | "warning";
  readonly message: string;
  readonly hint?: string;
  /** An absolute path; `plugins/greet.ts` for a plugin that came as text. */
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

/** A plugin that cannot be used. */
export class PluginError extends Error {
  /** At least one. */
  readonly problems: readonly PluginProblem[];
  /** Files whose change may mend it. */
  readonly inputs: readonly string[];

  constructor(problems: readonly PluginProblem[], inputs: readonly string[]) {
    super(problems.map((problem) => problem.message).join("; "));
    this.name = "PluginError";
    this.problems = problems;
    this.inputs = inputs;
  }
}

/** As a problem of the resource, where no file is at hand to point into: `plugins/greet.ts:3:5` stands in the message. */
export function pluginResourceProblem(name: string, problem: PluginProblem): Problem {
  const { severity, message, hint, file, line, column } = problem;
  const place = line === undefined ? file : `${file}:${line}:${column ?? 1}`;
  return {
    path: ["plugins", name],
    message: `${place}: ${message}`,
    ...(hint === undefined ? {} : { hint }),
    severity,
  };
}
