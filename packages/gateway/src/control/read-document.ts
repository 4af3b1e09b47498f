import type { GatewaySettings, PluginResource, Problem, Resources } from "@headgate/schema";
import type { Timers } from "../core/timers.ts";
import type { Origins } from "./explain.ts";
import { pluginUses } from "./plugin-uses.ts";
import { PluginBuilder } from "./plugins.ts";
import type { ReadDocument } from "./replicate-file.ts";
import type { ReportedProblem } from "./report.ts";
import { resolve, type MiddlewareTable, type Names } from "./resolve.ts";
import { LoadCache } from "./store/file/load-cache.ts";
import { formatOrigin, loadFiles, type LoadedFile, type LoadOptions, type LocatedProblem } from "./store/file/load.ts";

export interface DocumentReaderOptions {
  /** Absent: the settings alone make the document. */
  readonly file?: string;
  readonly env: LoadOptions["env"];
  readonly settings: NonNullable<LoadOptions["settings"]>;
  readonly defaults: NonNullable<LoadOptions["defaults"]>;
  readonly table: MiddlewareTable;
  readonly timers: Timers;
  /** Default: one of its own. */
  readonly plugins?: PluginBuilder;
}

/**
 * Until a store is known it may have any service and any plugin. A step that is a named configuration there passes as a
 * plugin: taken for a named configuration it could not have settings.
 */
export function mayBeStored(kind: Parameters<Names["has"]>[0]): boolean {
  return kind !== "middlewares";
}

/** Reads the document with all that belongs to it: files it names, references, settings of middlewares, plugins. */
export class DocumentReader {
  readonly #options: DocumentReaderOptions;
  readonly #plugins: PluginBuilder;
  /** Most of a document is the same the next time. */
  readonly #cache = new LoadCache();
  #loaded: LoadedFile | undefined;
  /** Whether a store has what the document names and does not hold. */
  elsewhere: Names["has"] = mayBeStored;

  constructor(options: DocumentReaderOptions) {
    this.#options = options;
    this.#plugins = options.plugins ?? new PluginBuilder({ timers: options.timers });
  }

  /** Where the parts of the document that was read last stand. */
  readonly origins: Origins = (path) => {
    const origin = this.#loaded?.origin(path);
    return origin === undefined ? undefined : formatOrigin(origin);
  };

  /** Never throws: whatever is wrong is a problem. */
  async read(): Promise<ReadDocument> {
    const { file, env, settings, defaults, table } = this.#options;
    const check = (resources: Resources, gateway: GatewaySettings | undefined): Problem[] =>
      resolve(
        resources,
        table,
        new Set(Object.keys(resources.plugins)),
        gateway?.store === undefined ? undefined : this.elsewhere,
      );
    const loaded = loadFiles(file === undefined ? [] : [file], {
      env,
      settings,
      defaults,
      resolve: check,
      cache: this.#cache,
    });
    this.#loaded = loaded;
    const problems = loaded.problems.map(reported);
    const paths = [...loaded.files];
    const { value } = loaded;
    if (value === undefined) return { problems, paths };
    const plugins: Record<string, PluginResource> = {};
    const uses = pluginUses(value.resources, new Set(Object.keys(value.resources.plugins)));
    for (const [name, plugin] of Object.entries(value.resources.plugins)) {
      const used = uses.get(name) ?? [];
      const built = await this.#plugins.build(
        name,
        plugin,
        used.map(({ settings }) => settings),
      );
      problems.push(...built.problems.map((problem) => ({ ...problem, path: `plugins.${name}` })));
      const inPlace = built.settingsProblems.flatMap((found, index) =>
        found.map((problem) => ({ ...problem, path: [...(used[index]?.path ?? []), ...problem.path] })),
      );
      problems.push(...loaded.locate(inPlace).map(reported));
      paths.push(...built.inputs);
      plugins[name] = built.resource;
    }
    if (problems.some((problem) => problem.severity === "error")) return { problems, paths };
    return { value: { ...value, resources: { ...value.resources, plugins } }, problems, paths };
  }
}

function reported({ severity, message, hint, file, line, column, pathText }: LocatedProblem): ReportedProblem {
  return {
    severity,
    path: pathText,
    message,
    ...(hint === undefined ? {} : { hint }),
    file,
    ...(line === 0 ? {} : { line, column }),
  };
}
