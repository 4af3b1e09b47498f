import { readFileSync } from "node:fs";
import { dirname, resolve as resolvePath } from "node:path";
import { formatPath, quote, validateDocument } from "@headgate/schema";
import type { GatewaySettings, Path, PluginResource, Problem, Resources } from "@headgate/schema";
import { redact } from "./redact.ts";
import { valueAt, withValue } from "./settings.ts";
import type { Setting } from "./settings.ts";
import { SourceTree } from "./source-tree.ts";
import type { ExpandedText, Position } from "./source-tree.ts";

/** Where a part of the configuration was written. */
export interface Origin {
  /** As it was named, or the flag or variable a value came from. */
  readonly file: string;
  /** From 1; 0 where there is no line: a flag, or a file that could not be read. */
  readonly line: number;
  /** From 1; 0 where there is no line. */
  readonly column: number;
}

export interface LocatedProblem extends Problem, Origin {
  /** `routes.users.match.path`; empty for the document as a whole. */
  readonly pathText: string;
}

export interface LoadOptions {
  /** What `${NAME}` reads. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads documents and `${file:}`. Default: the file system, UTF-8. Throws what the file system throws. */
  readonly readFile?: (path: string) => string;
  /** What relative paths of documents start from. Default: the working directory. */
  readonly cwd?: string;
  /** Beat the files: flags. */
  readonly settings?: readonly Setting[];
  /** Where no file says anything: `HEADGATE_*`. */
  readonly defaults?: readonly Setting[];
  /**
   * Further validation, with the middlewares at hand: `control/resolve.ts`. Given here and not called afterwards, text
   * from the environment is read as a number where a middleware expects one.
   */
  readonly resolve?: (resources: Resources) => readonly Problem[];
}

export interface LoadedFile {
  /** Absent if any problem is an error. */
  readonly value?: { readonly gateway: GatewaySettings; readonly resources: Resources };
  /** In the order they stand in the files. */
  readonly problems: readonly LocatedProblem[];
  /** Every file that was read or should have been: documents and `${file:}`, absolute. For the watcher. */
  readonly files: readonly string[];
  /** Where a path of the document was written, or the nearest part around it. Undefined: nowhere, a default. */
  readonly origin: (path: Path) => Origin | undefined;
  /** Puts later problems (a plugin that does not build, say) in their place, without secrets. */
  readonly locate: (problems: readonly Problem[]) => LocatedProblem[];
}

/** Loads one document. See `loadFiles`. */
export function loadFile(path: string, options: LoadOptions): LoadedFile {
  return loadFiles([path], options);
}

/**
 * Reads YAML or JSON documents as one: sections are merged by kind and name, the keys of `gateway` one by one, and
 * what two files both say is a problem. Reports every problem of all of them. Never throws.
 */
export function loadFiles(paths: readonly string[], options: LoadOptions): LoadedFile {
  const sources = new Sources(paths, options);
  for (const setting of options.defaults ?? []) {
    if (valueAt(sources.document, setting.path) === undefined) sources.set(setting);
  }
  for (const setting of options.settings ?? []) sources.set(setting);
  // References into a file that could not be read would all seem to be missing.
  const resolve = sources.incomplete ? undefined : options.resolve;
  let { value, problems } = sources.validate(resolve);
  // Once for what the schema expects, once for what the middlewares do, which are only asked when the schema is content.
  for (let round = 0; round < 2 && sources.coerce(problems); round++) {
    ({ value, problems } = sources.validate(resolve));
  }
  // What could not be read (a variable that is not set) is no value that could be judged as well.
  const unread = new Set(sources.problems.map(({ pathText }) => pathText).filter((text) => text !== ""));
  const judged = sources.locate(problems).filter(({ pathText }) => !unread.has(pathText));
  const located = [...sources.problems, ...judged].sort(sources.inOrder);
  const usable = located.some((problem) => problem.severity === "error") ? undefined : value;
  return {
    ...(usable === undefined ? {} : { value: usable }),
    problems: located,
    files: [...sources.files],
    origin: (path) => sources.origin(path),
    locate: (later) => sources.locate(later),
  };
}

/** The trees of all documents, merged into one document that knows where each of its parts came from. */
class Sources {
  readonly problems: LocatedProblem[] = [];
  readonly files = new Set<string>();
  /** Whether a document is missing or broken. */
  incomplete = false;
  document: unknown = {};
  readonly #names: readonly string[];
  readonly #trees = new Map<string, SourceTree>();
  /** File by section, and by section and name. */
  readonly #owners = new Map<string, string>();
  readonly #settings = new Map<string, Setting>();
  readonly #readFile: (path: string) => string;
  readonly #cwd: string;

  constructor(paths: readonly string[], options: LoadOptions) {
    this.#names = paths;
    this.#cwd = resolvePath(options.cwd ?? ".");
    this.#readFile = options.readFile ?? ((path) => readFileSync(path, "utf8"));
    for (const path of paths) this.#load(path, options.env);
    const empty = [...this.#trees.values()].every((tree) => tree.value === null);
    if (this.problems.length > 0 || !empty || paths.length === 0) return;
    // An editor that truncates before it writes must not take every route away.
    const message = "the document is empty";
    const hint = "write `routes: {}` to serve nothing";
    this.#report({ path: [], message, hint, severity: "error" }, { file: paths[0] ?? "", line: 1, column: 1 });
  }

  #load(file: string, env: LoadOptions["env"]): void {
    if (this.#trees.has(file)) return;
    const absolute = resolvePath(this.#cwd, file);
    this.files.add(absolute);
    let text;
    try {
      text = this.#readFile(absolute);
    } catch (error) {
      const hint = "check the path and its permissions";
      this.incomplete = true;
      this.#report({ path: [], message: unreadable(error), hint, severity: "error" }, { file, line: 0, column: 0 });
      return;
    }
    const tree = new SourceTree(text.replace(/^\uFEFF/, ""), {
      env,
      readSecret: (path) => this.#readSecret(absolute, path),
    });
    this.#trees.set(file, tree);
    this.incomplete ||= tree.value === undefined;
    for (const { position, ...problem } of tree.problems) this.#report(problem, { file, ...position });
    if (typeof tree.value === "object" && tree.value !== null && !Array.isArray(tree.value))
      this.#merge(file, tree, tree.value);
    else if (tree.value !== undefined && tree.value !== null) {
      this.#report(
        { path: [], message: "expected a map of sections", severity: "error" },
        { file, line: 1, column: 1 },
      );
    }
  }

  #readSecret(document: string, path: string): string {
    const absolute = resolvePath(dirname(document), path);
    this.files.add(absolute);
    return this.#readFile(absolute);
  }

  #merge(file: string, tree: SourceTree, sections: object): void {
    for (const [section, content] of Object.entries(sections)) {
      const isMap = typeof content === "object" && content !== null && !Array.isArray(content);
      const named = isMap ? Object.entries(content) : undefined;
      if (named === undefined || named.length === 0) {
        // An empty section says nothing, and takes nothing away from another file.
        if (content === null || (named !== undefined && valueAt(this.document, [section]) !== undefined)) continue;
        this.#claim(file, tree, [section], content);
      } else {
        if (!this.#owners.has(section)) this.#owners.set(section, file);
        for (const [name, value] of named) this.#claim(file, tree, [section, name], value);
      }
    }
  }

  #claim(file: string, tree: SourceTree, path: readonly string[], value: unknown): void {
    const key = JSON.stringify(path);
    const owner = this.#owners.get(key);
    if (owner !== undefined) {
      const first = this.origin(path);
      const where = first === undefined ? owner : formatOrigin(first);
      const problem: Problem = {
        path,
        message: `is also in ${where}`,
        hint: "remove one of the two",
        severity: "error",
      };
      this.#report(problem, { file, ...tree.locate(path, "key") });
      return;
    }
    this.#owners.set(key, file);
    const [section = "", name] = path;
    if (!this.#owners.has(section)) this.#owners.set(section, file);
    const sections = this.document;
    if (typeof sections !== "object" || sections === null) return;
    // In place: copying what is there for each of ten thousand names would cost as many times ten thousand.
    const known: unknown = Reflect.get(sections, section);
    if (name === undefined) define(sections, section, value);
    else if (typeof known === "object" && known !== null && !Array.isArray(known)) define(known, name, value);
    else define(sections, section, { [name]: value });
  }

  set(setting: Setting): void {
    this.document = withValue(this.document, setting.path, setting.value);
    this.#settings.set(formatPath(setting.path), setting);
  }

  validate(resolve: LoadOptions["resolve"]): {
    value?: NonNullable<LoadedFile["value"]>;
    problems: readonly Problem[];
  } {
    const { value, problems } = validateDocument(this.document);
    if (value === undefined) return { problems };
    const plugins = Object.entries(value.resources.plugins).map(([name, plugin]) => [name, this.#place(name, plugin)]);
    const resources: Resources = { ...value.resources, plugins: Object.fromEntries(plugins) };
    return { value: { gateway: value.gateway, resources }, problems: [...problems, ...(resolve?.(resources) ?? [])] };
  }

  #place(name: string, plugin: PluginResource): PluginResource {
    const file = this.#owners.get(JSON.stringify(["plugins", name]));
    const directory = file === undefined ? this.#cwd : dirname(resolvePath(this.#cwd, file));
    return { ...plugin, path: resolvePath(directory, plugin.path) };
  }

  /** Text from the environment becomes the number or truth value that is expected in its place. */
  coerce(problems: readonly Problem[]): boolean {
    let changed = false;
    for (const { path, expected } of problems) {
      const text = expected === undefined ? undefined : this.#expandedAt(path)?.text;
      if (text === undefined || valueAt(this.document, path) !== text) continue;
      const value =
        expected === "number" ? numberOf(text) : text === "true" ? true : text === "false" ? false : undefined;
      if (value === undefined) continue;
      this.document = withValue(this.document, path, value);
      changed = true;
    }
    return changed;
  }

  #expandedAt(path: Path): ExpandedText | undefined {
    return this.#trees.get(this.#ownerOf(path) ?? "")?.expanded.get(formatPath(path));
  }

  #ownerOf(path: Path): string | undefined {
    return (
      this.#owners.get(JSON.stringify(path.slice(0, 2))) ??
      this.#owners.get(JSON.stringify(path.slice(0, 1))) ??
      this.#owners.get(String(path[0]))
    );
  }

  origin(path: Path): Origin | undefined {
    for (let length = path.length; length > 0; length--) {
      const setting = this.#settings.get(formatPath(path.slice(0, length)));
      if (setting !== undefined) return { file: setting.source, line: 0, column: 0 };
    }
    const file = this.#ownerOf(path);
    return this.#position(file, path, "value");
  }

  #position(file: string | undefined, path: Path, at: "key" | "value"): Origin | undefined {
    const position: Position | undefined = this.#trees.get(file ?? "")?.locate(path, at);
    return file === undefined || position === undefined ? undefined : { file, ...position };
  }

  locate(problems: readonly Problem[]): LocatedProblem[] {
    return problems.map((problem) => {
      const at = problem.message.startsWith("unknown key") ? "key" : "value";
      const origin = this.origin(problem.path);
      const place =
        origin?.line === 0 ? origin : (this.#position(this.#ownerOf(problem.path), problem.path, at) ?? origin);
      return this.#located(problem, place ?? { file: this.#names[0] ?? "", line: 0, column: 0 });
    });
  }

  #located(problem: Problem, origin: Origin): LocatedProblem {
    let { message, hint } = problem;
    for (const { expanded } of this.#trees.values()) {
      message = redact(message, problem.path, expanded);
      hint = hint === undefined ? undefined : redact(hint, problem.path, expanded);
    }
    return {
      ...problem,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...origin,
      pathText: formatPath(this.#written(problem.path)),
    };
  }

  /** `to: users` stands for a list with one entry: the path of its problem ends where the document does. */
  #written(path: Path): Path {
    const end = path.findIndex((_, index) => {
      const value = valueAt(this.document, path.slice(0, index));
      return value !== undefined && value !== null && typeof value !== "object";
    });
    return end < 0 ? path : path.slice(0, end);
  }

  #report(problem: Problem, origin: Origin): void {
    this.problems.push(this.#located(problem, origin));
  }

  readonly inOrder = (a: LocatedProblem, b: LocatedProblem): number =>
    this.#names.indexOf(a.file) - this.#names.indexOf(b.file) || a.line - b.line || a.column - b.column;
}

/** `file:line:column`, or the file or flag alone where there is no line. */
export function formatOrigin({ file, line, column }: Origin): string {
  return line === 0 ? file : `${file}:${line}:${column}`;
}

function define(target: object, key: string, value: unknown): void {
  // Assigning to "__proto__" would not make a key.
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

function numberOf(text: string): number | undefined {
  return /^-?\d+(?:\.\d+)?$/.test(text.trim()) ? Number(text) : undefined;
}

function unreadable(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOENT") return "the file does not exist";
  if (code === "EACCES" || code === "EPERM") return "the file may not be read";
  if (code === "EISDIR") return "is a directory, not a file";
  return `the file could not be read${code === "" ? "" : ` (${quote(code)})`}`;
}
