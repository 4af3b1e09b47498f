import { readFileSync } from "node:fs";
import { dirname, resolve as resolvePath } from "node:path";
import { formatPath, quote, validateDocument } from "@headgate/schema";
import type { GatewaySettings, Path, PluginResource, Problem, Resources } from "@headgate/schema";
import { coercedText, coerceEntries, define, isMap } from "./coerce.ts";
import type { Coercion } from "./coerce.ts";
import type { Surroundings } from "./expand.ts";
import type { LoadCache } from "./load-cache.ts";
import { redact } from "./redact.ts";
import { valueAt, withValue } from "./settings.ts";
import type { Setting } from "./settings.ts";
import { SourceTree } from "./source-tree.ts";
import type { DocumentTree, ExpandedText, Position } from "./source-tree.ts";
import { unexplained } from "./unexplained.ts";

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
  readonly resolve?: (resources: Resources, gateway: GatewaySettings | undefined) => readonly Problem[];
  /** Where the one document belongs if it is only a part of a whole one: `["routes", "users"]`. Without a cache. */
  readonly at?: Path;
  /** For who loads again and again: the same one each time. Default: none. */
  readonly cache?: LoadCache;
}

export interface LoadedFile {
  /** Absent if any problem is an error. */
  readonly value?: { readonly gateway: GatewaySettings; readonly resources: Resources };
  /** What the files say, expanded and merged, as they write it: without defaults. For who hands it on. */
  readonly document: unknown;
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
  // Once for what the schema expects, once for what the middlewares do: some judge a whole only when its parts are right.
  for (let round = 0; round < 2 && sources.coerce(problems); round++) {
    ({ value, problems } = sources.validate(resolve));
  }
  // What could not be read (a variable that is not set) is no value that could be judged as well.
  const unread = new Set(sources.problems.map(({ pathText }) => pathText).filter((text) => text !== ""));
  const judged = sources.locate(problems).filter(({ pathText }) => !unread.has(pathText));
  const located = [...sources.problems, ...judged].sort(sources.inOrder);
  sources.release();
  const usable = located.some((problem) => problem.severity === "error") ? undefined : value;
  return {
    ...(usable === undefined ? {} : { value: usable }),
    document: sources.document,
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
  readonly #trees = new Map<string, DocumentTree>();
  readonly #owners = new Map<string, SectionOwners>();
  readonly #settings = new Map<string, Setting>();
  readonly #readFile: (path: string) => string;
  readonly #cwd: string;
  readonly #cache: LoadCache | undefined;
  readonly #at: Path;
  /** Each `${file:}` is read once a load, so that all who name it get the same. */
  readonly #secrets = new Map<string, () => string>();

  constructor(paths: readonly string[], options: LoadOptions) {
    this.#names = paths;
    this.#cache = options.cache;
    this.#at = options.at ?? [];
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
    const { tree, value } = this.#read(file, text.replace(/^\uFEFF/, ""), {
      readEnv: (name) => (Object.hasOwn(env, name) ? env[name] : undefined),
      readSecret: (path) => this.#readSecret(absolute, path),
    });
    this.#trees.set(file, tree);
    this.incomplete ||= value === undefined;
    for (const { position, ...problem } of tree.problems) this.#report(problem, { file, ...position });
    if (isMap(value)) this.#merge(file, tree, value);
    else if (value !== undefined && value !== null) {
      this.#report(
        { path: [], message: "expected a map of sections", severity: "error" },
        { file, line: 1, column: 1 },
      );
    }
  }

  #read(file: string, text: string, surroundings: Surroundings): { tree: DocumentTree; value: unknown } {
    if (this.#cache !== undefined) return this.#cache.read(file, text, surroundings);
    const at = this.#at;
    const tree = new SourceTree(text, surroundings, at);
    if (at.length === 0 || tree.value === undefined) return { tree, value: tree.value };
    const { problems, expanded } = tree;
    const value = withValue({}, at, tree.value);
    // The tree's own paths begin where the part does.
    const locate: DocumentTree["locate"] = (path, which) => tree.locate(path.slice(at.length), which);
    return { tree: { value, problems, expanded, locate, release: () => tree.release() }, value };
  }

  #readSecret(document: string, path: string): string {
    const absolute = resolvePath(dirname(document), path);
    this.files.add(absolute);
    let read = this.#secrets.get(absolute);
    if (read === undefined) this.#secrets.set(absolute, (read = this.#readOnce(absolute)));
    return read();
  }

  #readOnce(path: string): () => string {
    try {
      const text = this.#readFile(path);
      return () => text;
    } catch (error) {
      return () => {
        throw error;
      };
    }
  }

  #merge(file: string, tree: DocumentTree, sections: object): void {
    const { document } = this;
    if (!isMap(document)) return;
    for (const [section, content] of Object.entries(sections)) {
      const named = isMap(content) && Object.keys(content).length > 0;
      if (named && !this.#owners.has(section)) {
        // The only file that has the section, most often: nothing has to be asked name by name.
        this.#owners.set(section, { first: file, content, whole: undefined, names: new Map() });
        define(document, section, { ...content });
      } else if (named) {
        for (const [name, value] of Object.entries(content)) this.#claim(document, file, tree, [section, name], value);
      } else if (content !== null && !(isMap(content) && valueAt(document, [section]) !== undefined)) {
        // An empty section says nothing, and takes nothing away from another file. It gets a map of its own: names of
        // other files may come into it, and what was read stays as it is.
        this.#claim(document, file, tree, [section], isMap(content) ? {} : content);
      }
    }
  }

  #claim(document: object, file: string, tree: DocumentTree, path: readonly string[], value: unknown): void {
    const [section = "", name] = path;
    let owners = this.#owners.get(section);
    owners ??= { first: file, content: {}, whole: undefined, names: new Map() };
    this.#owners.set(section, owners);
    const owner = name === undefined ? owners.whole : ownerOfName(owners, name);
    if (owner !== undefined) {
      this.#reportTwice(file, tree, path, owner);
      return;
    }
    if (name === undefined) owners.whole = file;
    else owners.names.set(name, file);
    // In place: copying what is there for each of ten thousand names would cost as many times ten thousand.
    const known = valueAt(document, [section]);
    if (name === undefined) define(document, section, value);
    else if (isMap(known)) define(known, name, value);
    else define(document, section, { [name]: value });
  }

  #reportTwice(file: string, tree: DocumentTree, path: readonly string[], owner: string): void {
    const first = this.origin(path);
    const where = first === undefined ? owner : formatOrigin(first);
    const message = `is also in ${where}`;
    this.#report(
      { path, message, hint: "remove one of the two", severity: "error" },
      { file, ...tree.locate(path, "key") },
    );
  }

  set(setting: Setting): void {
    this.document = withValue(this.document, setting.path, setting.value);
    this.#settings.set(formatPath(setting.path), setting);
  }

  validate(resolve: LoadOptions["resolve"]): {
    value?: NonNullable<LoadedFile["value"]>;
    problems: readonly Problem[];
  } {
    const { value, readable, problems } = validateDocument(this.document, this.#cache?.validation);
    if (readable === undefined) return { problems };
    const plugins = Object.entries(readable.plugins).map(([name, plugin]) => [name, this.#place(name, plugin)]);
    const resources: Resources = { ...readable, plugins: Object.fromEntries(plugins) };
    const found = [...problems, ...unexplained(resolve?.(resources, value?.gateway) ?? [], problems)];
    return value === undefined
      ? { problems: found }
      : { value: { gateway: value.gateway, resources }, problems: found };
  }

  #place(name: string, plugin: PluginResource): PluginResource {
    if (plugin.path === undefined) return plugin;
    const owners = this.#owners.get("plugins");
    const file = owners === undefined ? undefined : ownerOfName(owners, name);
    const directory = file === undefined ? this.#cwd : dirname(resolvePath(this.#cwd, file));
    return { ...plugin, path: resolvePath(directory, plugin.path) };
  }

  /** Text from the environment becomes the number or truth value that is expected in its place. */
  coerce(problems: readonly Problem[]): boolean {
    const coercions: Coercion[] = [];
    for (const { path, expected } of problems) {
      const text = expected === undefined ? undefined : this.#expandedAt(path)?.text;
      if (expected === undefined || text === undefined || valueAt(this.document, path) !== text) continue;
      const value = coercedText(text, expected);
      if (value !== undefined) coercions.push({ path, value });
    }
    this.document = coerceEntries(this.document, coercions, this.#cache);
    return coercions.length > 0;
  }

  /** Lets go of what is only needed while loading. Without a cache nothing is loaded again: places are asked for next. */
  release(): void {
    if (this.#cache === undefined) return;
    for (const tree of this.#trees.values()) tree.release();
    this.#cache.keep(new Set(this.#names));
  }

  #expandedAt(path: Path): ExpandedText | undefined {
    return this.#trees.get(this.#ownerOf(path) ?? "")?.expanded.get(formatPath(path));
  }

  #ownerOf([section, name]: Path): string | undefined {
    const owners = this.#owners.get(String(section));
    return owners === undefined ? undefined : (ownerOfName(owners, String(name)) ?? owners.whole ?? owners.first);
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

/** Which file says what of a section. */
interface SectionOwners {
  readonly first: string;
  /** What the first one says. */
  readonly content: object;
  /** Where a file says the section as a whole: a list, or an empty map. */
  whole: string | undefined;
  /** Of names that are not in `content`. */
  readonly names: Map<string, string>;
}

function ownerOfName({ first, content, names }: SectionOwners, name: string): string | undefined {
  return names.get(name) ?? (Object.hasOwn(content, name) ? first : undefined);
}

/** `file:line:column`, or the file or flag alone where there is no line. */
export function formatOrigin({ file, line, column }: Origin): string {
  return line === 0 ? file : `${file}:${line}:${column}`;
}

function unreadable(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOENT") return "the file does not exist";
  if (code === "EACCES" || code === "EPERM") return "the file may not be read";
  if (code === "EISDIR") return "is a directory, not a file";
  return `the file could not be read${code === "" ? "" : ` (${quote(code)})`}`;
}
