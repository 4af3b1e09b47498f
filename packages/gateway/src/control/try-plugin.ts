import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import type { Problem } from "@headgate/schema";
import type { Timers } from "../core/timers.ts";
import { authorPlaces, readMap, splitModule } from "../proxy/plugin-places.ts";
import type { BundledPlugin } from "./bundle-plugin.ts";
import { PluginError } from "./plugin-problem.ts";
import type { PluginTrial, PluginTrialJob } from "./plugin-thread.ts";
import { threadStack } from "./thread-stack.ts";

/** How long a plugin may take to load and be built, milliseconds. One that loops would hold a worker for ever. */
const loadMsMaxDefault = 2000;
/** Heap of the thread that tries a plugin, MiB: a plugin that eats memory while it loads ends that thread alone. */
const trialHeapMiBMax = 256;
/** How long a thread is kept ready for the next trial, milliseconds: it holds some 15 MB and saves 250 ms or more. */
const spareMsMax = 60_000;
export interface TriedPlugin {
  /** The middleware's own name. */
  readonly name: string;
  /** Whether it says that it asks who sends a request. */
  readonly authenticates: boolean;
  /** What is wrong with each of the settings that were given; paths start at the settings. */
  readonly problems: readonly (readonly Problem[])[];
}

export interface PluginTrialOptions {
  readonly timers: Timers;
  /** Default 2000. */
  readonly loadMsMax?: number;
}

type Outcome = Exclude<PluginTrial, { kind: "ready" }>;

/**
 * Tries plugins one after the other, each in a thread that is thrown away: what would stop or end a worker ends that
 * thread. At most one runs and one is kept ready.
 */
export class PluginTrials {
  readonly #options: PluginTrialOptions;
  #last: Promise<unknown> = Promise.resolve();
  #spare: TrialThread | undefined;
  #stopSpareClock: () => void = () => undefined;
  #closed = false;

  constructor(options: PluginTrialOptions) {
    this.#options = options;
  }

  /**
   * Loads a bundled plugin, and validates settings it is used with and builds a step of each. Rejects with a
   * PluginError where it does not load; where settings are refused, the answer says so.
   */
  try(plugin: BundledPlugin, settings: readonly unknown[] = []): Promise<TriedPlugin> {
    const trial = this.#last.then(() => this.#try(plugin, settings));
    this.#last = trial.catch(() => undefined);
    return trial;
  }

  /** Ends what is kept ready, when what is under way is done. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
    await this.#dropSpare();
  }

  async #try(plugin: BundledPlugin, settings: readonly unknown[]): Promise<TriedPlugin> {
    const { module, sha256 } = plugin;
    const thread = this.#takeSpare() ?? new TrialThread();
    let outcome: Outcome;
    try {
      outcome = await thread.run({ module, sha256, settings }, this.#options);
    } finally {
      await thread.end();
      this.#keepSpare();
    }
    if (outcome.kind === "loaded") return outcome;
    const { message } = outcome;
    throw new PluginError(
      [{ severity: "error", message, file: plugin.file, ...placeIn(outcome.stack, plugin) }],
      [...new Set([plugin.file, ...plugin.inputs])],
    );
  }

  #takeSpare(): TrialThread | undefined {
    this.#stopSpareClock();
    const spare = this.#spare;
    this.#spare = undefined;
    return spare?.ended === true ? undefined : spare;
  }

  #keepSpare(): void {
    if (this.#closed || this.#spare !== undefined) return;
    this.#spare = new TrialThread();
    // `every`, as it does not keep the process alive.
    this.#stopSpareClock = this.#options.timers.every(spareMsMax, () => void this.#dropSpare());
  }

  async #dropSpare(): Promise<void> {
    await this.#takeSpare()?.end();
  }
}

/** A thread for one trial. While it waits for it, it does not keep the process alive. */
class TrialThread {
  ended = false;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #ready: Promise<unknown>;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    this.#port = port1;
    this.#worker = new Worker(new URL(`./plugin-thread.${extension}`, import.meta.url), {
      workerData: port2,
      transferList: [port2],
      // What it prints it will print again where it is used.
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: trialHeapMiBMax },
    });
    this.#ready = new Promise((ready, failed) => {
      port1.once("message", ready);
      this.#worker.once("error", failed);
      this.#worker.once("exit", () => {
        this.ended = true;
        failed(new Error("the thread that tries plugins ended"));
      });
    });
    this.#ready.catch(() => undefined);
    this.#worker.unref();
    port1.unref();
  }

  /** Rejects only if the thread itself does not start. */
  async run(job: PluginTrialJob, { timers, loadMsMax = loadMsMaxDefault }: PluginTrialOptions): Promise<Outcome> {
    this.#worker.ref();
    // Not before: a stream that is read keeps the process alive.
    this.#worker.stdout.resume();
    this.#worker.stderr.resume();
    // How long a thread takes to start is not the plugin's fault.
    await this.#ready;
    let disarm = (): void => undefined;
    const outcome = await new Promise<Outcome>((settle) => {
      const fail = (message: string, stack = ""): void => settle({ kind: "failed", message, stack });
      this.#port.ref();
      this.#port.once("message", settle);
      this.#worker.once("error", (error: unknown) => fail(`the plugin failed while it was loaded: ${String(error)}`));
      this.#worker.once("exit", () => {
        // It may have ended faster than its last word was heard.
        const last = receiveMessageOnPort(this.#port) as { message: Outcome } | undefined; // the thread sends no other
        if (last !== undefined) settle(last.message);
        else fail("the plugin ended its thread, or waits for what never comes, while it was loaded");
      });
      this.#port.postMessage(job);
      disarm = timers.after(loadMsMax, () => {
        const message = `the plugin does not finish loading within ${loadMsMax / 1000} s`;
        void threadStack(this.#worker.threadId, timers).then(({ stack, close }) => {
          if (this.ended) close();
          else this.#worker.once("exit", close);
          fail(message, stack);
        });
      });
    });
    disarm();
    return outcome;
  }

  async end(): Promise<void> {
    this.#port.close();
    await this.#worker.terminate();
  }
}

/** The first line of the stack that lies in one of the plugin's own files. */
function placeIn(
  stack: string,
  { module, files }: BundledPlugin,
): { readonly file: string; readonly line: number; readonly column: number } | Record<string, never> {
  const { map } = splitModule(module);
  if (map === undefined) return {};
  const read = readMap(map);
  const lines = authorPlaces(stack, () => read);
  for (const [, name = "", line, column] of lines.matchAll(/^\s+at (?:.*\()?(.+?):([0-9]+):([0-9]+)\)?$/gm)) {
    const file = files.get(name);
    if (file !== undefined) return { file, line: Number(line), column: Number(column) };
  }
  return {};
}
