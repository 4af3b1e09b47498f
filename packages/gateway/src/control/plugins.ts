import type { PluginResource, Problem } from "@headgate/schema";
import { bundlePlugin } from "./bundle-plugin.ts";
import type { BundledPlugin, WrittenPlugin } from "./bundle-plugin.ts";
import { PluginError } from "./plugin-problem.ts";
import type { PluginProblem } from "./plugin-problem.ts";
import { PluginTrials } from "./try-plugin.ts";
import type { PluginTrialOptions, TriedPlugin } from "./try-plugin.ts";

/** Digests whose trials are remembered; of older ones code and settings are tried again. */
const rememberedVersionsMax = 256;
/** Plugins that came as text whose bundle is remembered; of more the oldest is bundled again. */
const rememberedBundlesMax = 256;
/** Settings of one version whose problems are remembered; more are judged again. */
const rememberedSettingsMax = 1024;

export interface BuiltPlugin {
  /** With `sha256` and `module` unless a problem is an error. */
  readonly resource: PluginResource;
  /** The name its definition has; in chains it goes by the name of the resource. Absent where it did not load. */
  readonly middlewareName?: string;
  readonly problems: readonly PluginProblem[];
  /** Absolute paths of files whose change may change the outcome. None for a plugin that came as text. */
  readonly inputs: readonly string[];
  /**
   * What is wrong with each of the settings asked about, in their order; paths start at the settings. Empty where the
   * plugin itself has errors.
   */
  readonly settingsProblems: readonly (readonly Problem[])[];
}

/** What was found out about a version; `settings` by their JSON text. */
interface Remembered extends Pick<TriedPlugin, "authenticates"> {
  readonly name: string;
  readonly settings: Map<string, readonly Problem[]>;
}

/**
 * Makes of a user's middleware what workers can load: bundled, and tried together with settings it is used with.
 * Remembers what passed, so that the same code and settings are not tried twice; what failed is tried again when it is
 * asked for again, as a file it reads or a machine under load may have been the reason.
 */
export class PluginBuilder {
  readonly #trials: PluginTrials;
  /** The oldest first. */
  readonly #remembered = new Map<string, Remembered>();
  /** The last bundle of each text, by the plugin's name. */
  readonly #bundles = new Map<string, { readonly source: string; readonly bundled: BundledPlugin }>();

  constructor(options: PluginTrialOptions) {
    this.#trials = new PluginTrials(options);
  }

  /** Never rejects: whatever is wrong is a problem. Several may be asked for at once; they are tried one by one. */
  async build(
    name: string,
    resource: Pick<PluginResource, "path" | "source">,
    settings: readonly unknown[] = [],
  ): Promise<BuiltPlugin> {
    const { path, source } = resource;
    const written = source === undefined ? { path: path ?? "" } : { name, source };
    try {
      const bundled = await this.#bundle(written);
      const { sha256, module, inputs, warnings } = bundled;
      const tried = await this.#try(bundled, settings);
      return {
        resource: { ...resource, sha256, module },
        middlewareName: tried.name,
        problems: warnings,
        inputs,
        settingsProblems: tried.problems,
      };
    } catch (error) {
      const file = path ?? `plugins/${name}.ts`;
      const known = error instanceof PluginError;
      const message = `the plugin could not be built: ${error instanceof Error ? error.message : String(error)}`;
      return {
        resource: { ...resource },
        problems: known ? error.problems : [{ severity: "error", message, file }],
        inputs: path === undefined ? [] : [path, ...(known ? error.inputs : [])],
        settingsProblems: [],
      };
    }
  }

  /**
   * Tries a version that was built with settings that are new to it. Answers why it does not come to an end with them;
   * settings that it refuses are nobody's problem here. Does not reject.
   */
  async tryWith(
    name: string,
    { path, sha256, module }: PluginResource,
    settings: readonly unknown[],
  ): Promise<readonly PluginProblem[]> {
    if (sha256 === undefined || module === undefined) return [];
    const known = this.#bundles.get(name)?.bundled;
    const file = path ?? `plugins/${name}.ts`;
    const bundled =
      known?.sha256 === sha256
        ? known
        : { sha256, module, file, inputs: [], files: new Map<string, string>(), warnings: [] };
    try {
      await this.#try(bundled, settings);
      return [];
    } catch (error) {
      if (error instanceof PluginError) return error.problems;
      return [{ severity: "error", message: `the plugin could not be tried: ${String(error)}`, file }];
    }
  }

  /** Whether a version that was tried says that it asks who sends a request. */
  authenticates(sha256: string): boolean {
    return this.#remembered.get(sha256)?.authenticates ?? false;
  }

  close(): Promise<void> {
    return this.#trials.close();
  }

  /** A file is bundled anew each time: what it imports may have changed. */
  async #bundle(written: WrittenPlugin): Promise<BundledPlugin> {
    if (!("source" in written)) return bundlePlugin(written);
    const { name, source } = written;
    const known = this.#bundles.get(name);
    if (known?.source === source) return known.bundled;
    const bundled = await bundlePlugin(written);
    this.#bundles.delete(name);
    this.#bundles.set(name, { source, bundled });
    dropOldest(this.#bundles, rememberedBundlesMax);
    return bundled;
  }

  async #try(bundled: BundledPlugin, settings: readonly unknown[]): Promise<TriedPlugin> {
    const texts = settings.map((one) => JSON.stringify(one ?? {}));
    const known = this.#remembered.get(bundled.sha256);
    const unknown = new Map<string, unknown>();
    for (const [index, text] of texts.entries()) {
      if (known?.settings.has(text) !== true) unknown.set(text, settings[index]);
    }
    const problemsOf = (settings: Remembered["settings"]) => texts.map((text) => settings.get(text) ?? []);
    if (known !== undefined && unknown.size === 0) return { ...known, problems: problemsOf(known.settings) };
    const { name, authenticates, problems } = await this.#trials.try(bundled, [...unknown.values()]);
    const found = [...unknown.keys()].map((text, index) => [text, problems[index] ?? []] as const);
    const all = new Map([...(known?.settings ?? []), ...found]);
    const settingsKept = new Map([...all].slice(-rememberedSettingsMax));
    this.#remember(bundled.sha256, { name, authenticates, settings: settingsKept });
    return { name, authenticates, problems: problemsOf(all) };
  }

  #remember(sha256: string, remembered: Remembered): void {
    this.#remembered.delete(sha256);
    this.#remembered.set(sha256, remembered);
    dropOldest(this.#remembered, rememberedVersionsMax);
  }
}

function dropOldest(map: Map<string, unknown>, sizeMax: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= sizeMax) return;
    map.delete(oldest);
  }
}
