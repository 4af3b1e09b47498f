import { parentPort, workerData } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { loadPlugin } from "../proxy/load-plugin.ts";

/** What the thread that tries a plugin reports: that it begins, and how it ended. */
export type PluginTrial =
  | { readonly kind: "loading" }
  | { readonly kind: "loaded"; readonly name: string }
  | { readonly kind: "failed"; readonly message: string; readonly stack: string };

/** Written by `tryPlugin` alone. */
export interface PluginTrialData {
  readonly module: string;
  readonly sha256: string;
  readonly cacheDir: string;
}

async function tryLoading({ module, sha256, cacheDir }: PluginTrialData, port: MessagePort): Promise<void> {
  const report = (trial: PluginTrial): void => port.postMessage(trial);
  report({ kind: "loading" });
  try {
    const { name } = await loadPlugin(module, sha256, cacheDir);
    report({ kind: "loaded", name });
  } catch (error) {
    const thrown = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
    report({ kind: "failed", message: error instanceof Error ? error.message : String(error), stack });
  }
}

// The entry of a thread; imported elsewhere (for its types) it does nothing.
if (parentPort !== null) {
  // Stacks then name the author's file and line. Only here: in a worker it would cost on every error.
  process.setSourceMapsEnabled(true);
  // Not awaited at the top: a plugin that never settles would make node print a warning about this file.
  void tryLoading(workerData as PluginTrialData, parentPort); // See PluginTrialData.
}
