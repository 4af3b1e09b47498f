/** What a failed command adds to its sentence. */
export interface CommandErrorFacts extends ErrorOptions {
  /** Printed before the sentence, each a line or more. */
  readonly lines?: readonly string[];
  /** What `-o json` prints: the gateway's own problem, or one in its form. */
  readonly answer?: object;
}

/**
 * A command that did not do what was asked. 1: the answer is no; 2: called wrongly; 3: the gateway or its store could
 * not be reached. The message is one sentence and a way out.
 */
export class CommandError extends Error {
  readonly exitCode: 1 | 2 | 3;
  readonly lines: readonly string[];
  readonly answer: object | undefined;

  constructor(exitCode: 1 | 2 | 3, message: string, { lines = [], answer, ...options }: CommandErrorFacts = {}) {
    super(message, options);
    this.name = "CommandError";
    this.exitCode = exitCode;
    this.lines = lines;
    this.answer = answer;
  }
}

/** The gateway understood and said no. */
export class RefusedError extends CommandError {
  readonly status: number;
  readonly problems: readonly AnsweredProblem[];

  constructor(exitCode: 1 | 2 | 3, message: string, facts: RefusedFacts) {
    super(exitCode, message, facts);
    this.name = "RefusedError";
    this.status = facts.status;
    this.problems = facts.problems;
  }
}

interface RefusedFacts extends CommandErrorFacts {
  readonly status: number;
  readonly problems: readonly AnsweredProblem[];
}

/** A problem as the admin API tells it. */
export interface AnsweredProblem {
  readonly severity: "error" | "warning";
  readonly path: string;
  readonly message: string;
  readonly hint?: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly key?: string;
  readonly revision?: number;
}

/** One problem of an answer as a line, and the way out on the next. */
export function problemText({
  severity,
  file,
  line,
  column,
  key,
  revision,
  path,
  message,
  hint,
}: AnsweredProblem): string {
  const stored = key === undefined ? [] : [revision === undefined ? key : `${key} (revision ${revision})`];
  const place = file === undefined ? stored : [[file, line, column].filter((part) => part !== undefined).join(":")];
  const parts = [...place, ...(path === "" ? [] : [path]), `${severity === "warning" ? "warning: " : ""}${message}`];
  return `${parts.join(": ")}${hint === undefined ? "" : `\n    ${hint}`}`;
}
