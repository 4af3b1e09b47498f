import type { GatewaySettings, PluginResource, Problem, Resources } from "@headgate/schema";
import type { Timers } from "../core/timers.ts";
import type { Origins } from "./explain.ts";
import { bundlePlugin, PluginError, prunePluginCache, tryPlugin, type PluginProblem } from "./plugins.ts";
import type { ReadDocument } from "./replicate-file.ts";
import type { ReportedProblem } from "./report.ts";
import { resolve, type MiddlewareTable } from "./resolve.ts";
import { LoadCache } from "./store/file/load-cache.ts";
import { formatOrigin, loadFiles, type LoadedFile, type LoadOptions, type LocatedProblem } from "./store/file/load.ts";

export interface DocumentReaderOptions {
  readonly file: string;
  readonly env: LoadOptions["env"];
  readonly settings: NonNullable<LoadOptions["settings"]>;
  readonly defaults: NonNullable<LoadOptions["defaults"]>;
  readonly table: MiddlewareTable;
  readonly timers: Timers;
}

/** Reads the document with all that belongs to it: files it names, references, settings of middlewares, plugins. */
export class DocumentReader {
  readonly #options: DocumentReaderOptions;
  /** Digests of modules that loaded; they need not be tried again. */
  readonly #tried = new Set<string>();
  /** Most of a document is the same the next time. */
  readonly #cache = new LoadCache();
  #loaded: LoadedFile | undefined;

  constructor(options: DocumentReaderOptions) {
    this.#options = options;
  }

  /** Where the parts of the document that was read last stand. */
  readonly origins: Origins = (path) => {
    const origin = this.#loaded?.origin(path);
    return origin === undefined ? undefined : formatOrigin(origin);
  };

  /** Never throws: whatever is wrong is a problem. `pluginCacheDir`: where plugins are kept while they are tried. */
  async read(pluginCacheDir: (settings: GatewaySettings) => string): Promise<ReadDocument> {
    const { file, env, settings, defaults, table } = this.#options;
    const check = (resources: Resources): Problem[] =>
      resolve(resources, table, new Set(Object.keys(resources.plugins)));
    const loaded = loadFiles([file], { env, settings, defaults, resolve: check, cache: this.#cache });
    this.#loaded = loaded;
    const problems = loaded.problems.map(reported);
    const paths = [...loaded.files];
    const { value } = loaded;
    if (value === undefined) return { problems, paths };
    const plugins: Record<string, PluginResource> = {};
    for (const [name, plugin] of Object.entries(value.resources.plugins)) {
      const built = await this.#build(name, plugin, pluginCacheDir(value.gateway));
      problems.push(...built.problems);
      paths.push(...built.paths);
      plugins[name] = built.plugin;
    }
    if (problems.some((problem) => problem.severity === "error")) return { problems, paths };
    return { value: { ...value, resources: { ...value.resources, plugins } }, problems, paths };
  }

  async #build(
    name: string,
    plugin: PluginResource,
    cacheDir: string,
  ): Promise<{ plugin: PluginResource; problems: ReportedProblem[]; paths: readonly string[] }> {
    const place = (problem: PluginProblem): ReportedProblem => ({ ...problem, path: `plugins.${name}` });
    try {
      const { sha256, module, inputs, warnings } = await bundlePlugin(plugin.path);
      if (!this.#tried.has(sha256)) {
        if (this.#tried.size === 0) await prunePluginCache(cacheDir, this.#tried);
        await tryPlugin({ sha256, module, inputs }, plugin.path, cacheDir, this.#options.timers);
        this.#tried.add(sha256);
      }
      return { plugin: { ...plugin, sha256, module }, problems: warnings.map(place), paths: inputs };
    } catch (error) {
      if (error instanceof PluginError) {
        return { plugin, problems: error.problems.map(place), paths: [plugin.path, ...error.inputs] };
      }
      const message = `the plugin could not be built: ${error instanceof Error ? error.message : String(error)}`;
      return { plugin, problems: [place({ severity: "error", message, file: plugin.path })], paths: [plugin.path] };
    }
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
