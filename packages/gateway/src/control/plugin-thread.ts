import { MessagePort, workerData } from "node:worker_threads";
import { parseWith } from "@headgate/schema";
import type { Problem } from "@headgate/schema";
import { systemClock, systemRandom } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { createLimiterMemory, SharedLimiter } from "../proxy/limiter.ts";
import { loadPlugin } from "../proxy/load-plugin.ts";
import type { Kit, MiddlewareDefinition } from "../proxy/middleware.ts";

/** What the thread that tries a plugin is asked. */
export interface PluginTrialJob {
  readonly module: string;
  readonly sha256: string;
  /** Settings it is used with. */
  readonly settings: readonly unknown[];
}

/** What the thread reports: that it waits for a job, and how the one job of its life ended. */
export type PluginTrial =
  | { readonly kind: "ready" }
  | {
      readonly kind: "loaded";
      readonly name: string;
      readonly authenticates: boolean;
      readonly problems: readonly (readonly Problem[])[];
    }
  | { readonly kind: "failed"; readonly message: string; readonly stack: string };

async function run({ module, sha256, settings }: PluginTrialJob): Promise<PluginTrial> {
  try {
    const definition = await loadPlugin(module, sha256);
    return {
      kind: "loaded",
      name: definition.name,
      // With some settings it may not; for a count of requests that could lose it this is near enough.
      authenticates: definition.authenticates !== undefined,
      problems: settings.map((one) => settingsProblems(definition, one)),
    };
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): PluginTrial {
  const thrown = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
  return { kind: "failed", message: messageOf(error), stack };
}

/** What is wrong with settings: what the schema says, and whether the step can be built. Paths start at the settings. */
function settingsProblems({ config, build }: MiddlewareDefinition, settings: unknown): readonly Problem[] {
  const parsed = parseWith(config, settings ?? {}, []);
  if (!parsed.ok) return parsed.problems;
  const refused = (message: string): Problem[] => [{ path: [], message, severity: "error" }];
  let built: unknown;
  try {
    built = build(parsed.value, trialKit());
  } catch (error) {
    return refused(`is refused: ${messageOf(error)}`);
  }
  const parts = typeof built === "function" ? { handle: built } : built;
  if (typeof parts === "object" && parts !== null && typeof Reflect.get(parts, "handle") === "function") return [];
  return refused("build must return the step: a function of exchange and next, or an object with one as `handle`");
}

/** Nothing leaves this thread, and what would come from outside does not come. */
function trialKit(): Kit {
  return {
    identity: "trial",
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    limiter: new SharedLimiter(createLimiterMemory(1024), systemClock),
    accessLog: { write: () => undefined },
    accessLogFormat: "json",
    counter: () => ({ add: () => undefined }),
    fetchJson: () => new Promise(() => undefined),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Has the modules that plugins import ready before the job comes: they take longer to load than most plugins. */
async function serve(port: MessagePort): Promise<void> {
  await Promise.all([import("headgate"), import("zod")]);
  const report = (trial: PluginTrial): void => port.postMessage(trial);
  port.once("message", (job: PluginTrialJob) => {
    // A plugin that waits for what never comes leaves this thread without work, and so ends it.
    port.unref();
    // The first report counts; these come before the thread ends.
    process.once("uncaughtExceptionMonitor", (error) => {
      report(failed(new Error(`the plugin failed while it was loaded: ${String(error)}`, { cause: error })));
    });
    const exit = process.exit.bind(process);
    process.exit = (code) => {
      report(failed(new Error("the plugin ends the process while it is loaded")));
      return exit(code);
    };
    void run(job).then(report);
  });
  report({ kind: "ready" });
}

// The entry of a thread; imported elsewhere (for its types) it does nothing.
if (workerData instanceof MessagePort) void serve(workerData);
