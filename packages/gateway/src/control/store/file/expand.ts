import type { Problem } from "@headgate/schema";
import { quote, suggestion } from "@headgate/schema";

/** What `${...}` may stand for. */
export interface Surroundings {
  /** The value of an environment variable; undefined where it is not set. */
  readonly readEnv: (name: string) => string | undefined;
  /** Reads a `${file:PATH}` relative to the document; throws what the file system throws. */
  readonly readSecret: (path: string) => string;
}

export interface Expansion {
  readonly text: string;
  /** Whether anything was put in: then the text may be a secret. */
  readonly expanded: boolean;
  readonly problems: readonly Pick<Problem, "message" | "hint" | "severity">[];
}

const envName = /^[A-Z_][A-Z0-9_]*$/;
/** A `$` more in front is the way to write such a text itself. Names with dots or lower case belong to middlewares. */
const reference = /\$?\$\{(?:(file):([^}]*)|([A-Z_][A-Z0-9_]*)(?::-([^}]*))?)\}/g;
const anyReference = /(?<!\$)\$\{([^}]*)\}/g;
/** One word without a dot that a middleware may mean by itself. */
const templateWords = ["route", "service", "consumer"];

/**
 * Puts environment variables and files into a text: `${NAME}`, `${NAME:-default}` (also where NAME is set but empty),
 * `${file:PATH}` (without the line break at its end). `$${NAME}` is the text `${NAME}`. What was put in is not looked
 * at again. Messages name the variable or file, never what it holds.
 */
export function expandText(text: string, surroundings: Surroundings): Expansion {
  if (!text.includes("${")) return { text, expanded: false, problems: [] };
  const problems: Expansion["problems"][number][] = [];
  let expanded = false;
  const result = text.replace(
    reference,
    (whole: string, file: string | undefined, path = "", name = "", fallback: string | undefined = undefined) => {
      if (whole.startsWith("$$")) return whole.slice(1);
      expanded = true;
      if (file !== undefined) return secret(path, surroundings, problems);
      const value = surroundings.readEnv(name);
      if (value !== undefined && (value !== "" || fallback === undefined)) return value;
      if (fallback !== undefined) return fallback;
      const hint = `set it, or give a default: \${${name}:-...}`;
      problems.push({ message: `the environment variable ${name} is not set`, hint, severity: "error" });
      return "";
    },
  );
  for (const [, inside = ""] of text.matchAll(anyReference)) {
    const problem = suspicious(inside);
    if (problem !== undefined) problems.push(problem);
  }
  return { text: result, expanded, problems };
}

function secret(path: string, { readSecret }: Surroundings, problems: Expansion["problems"][number][]): string {
  try {
    return readSecret(path).replace(/\r?\n$/, "");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    const hint = "paths are relative to the document";
    problems.push({ message: `the file ${quote(path)} could not be read${code}`, hint, severity: "error" });
    return "";
  }
}

/** Something that looks meant for the loader, but is not: left as it is, a `${jwt_secret}` would be a known secret. */
function suspicious(inside: string): Expansion["problems"][number] | undefined {
  const [name = ""] = inside.split(":-");
  if (inside.startsWith("file:") || envName.test(name) || templateWords.includes(inside)) return undefined;
  if (!/^\w+$/.test(name) || /^\d/.test(name)) return undefined;
  const hint = suggestion(inside, templateWords) ?? "names of environment variables have upper-case letters only";
  return { message: `${quote(`\${${inside}}`)} stands for nothing and stays as it is`, hint, severity: "warning" };
}
