import { parseSetting, type Setting } from "../control/store/file/settings.ts";

/** The flags of `start` as they were given. */
export interface StartFlags {
  readonly config?: string;
  readonly listen?: readonly string[];
  readonly admin?: string;
  readonly store?: string;
  readonly dataDir?: string;
  readonly workers?: string;
  readonly set?: readonly string[];
}

/** What was asked for cannot be: a usage error, exit code 2. The message is one sentence and a way out. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** The flags as settings of the document, which they beat. Throws a UsageError. */
export function settingsOfFlags({ listen = [], admin, dataDir, workers, set = [] }: StartFlags): Setting[] {
  const settings: Setting[] = set.map((text) => {
    try {
      return parseSetting(text, "--set");
    } catch (error) {
      throw new UsageError(`--set: ${error instanceof Error ? error.message : String(error)}.`);
    }
  });
  if (listen.length > 0) settings.push(listenSetting(listen, "--listen"));
  if (admin !== undefined) settings.push({ path: ["gateway", "admin", "address"], value: admin, source: "--admin" });
  if (dataDir !== undefined) settings.push({ path: ["gateway", "dataDir"], value: dataDir, source: "--data-dir" });
  if (workers !== undefined) settings.push(workersSetting(workers, "--workers"));
  return settings;
}

/** `HEADGATE_*` variables as settings, used where the document says nothing. Empty ones count as not set. */
export function settingsOfEnvironment(env: Readonly<Record<string, string | undefined>>): Setting[] {
  const settings: Setting[] = [];
  const { HEADGATE_LISTEN: listen, HEADGATE_ADMIN: admin, HEADGATE_DATA_DIR: dataDir, HEADGATE_WORKERS: workers } = env;
  if (listen)
    settings.push(
      listenSetting(
        listen.split(",").map((address) => address.trim()),
        "HEADGATE_LISTEN",
      ),
    );
  if (admin) settings.push({ path: ["gateway", "admin", "address"], value: admin, source: "HEADGATE_ADMIN" });
  if (dataDir) settings.push({ path: ["gateway", "dataDir"], value: dataDir, source: "HEADGATE_DATA_DIR" });
  if (workers) settings.push(workersSetting(workers, "HEADGATE_WORKERS"));
  return settings;
}

function listenSetting(addresses: readonly string[], source: string): Setting {
  return { path: ["gateway", "listen"], value: addresses.map((address) => ({ address })), source };
}

function workersSetting(workers: string, source: string): Setting {
  return { path: ["gateway", "workers"], value: /^\d+$/.test(workers) ? Number(workers) : workers, source };
}

const usualNames = ["headgate.yaml", "headgate.yml", "headgate.json"];

/** The document to serve: the flag's, else HEADGATE_CONFIG's, else a usual name in the working directory. */
export function configFile(
  { config, store }: StartFlags,
  env: Readonly<Record<string, string | undefined>>,
  exists: (path: string) => boolean,
): string {
  if (store !== undefined || env["HEADGATE_STORE"]) {
    const from = store === undefined ? "HEADGATE_STORE" : "--store";
    throw new UsageError(`${from}: stores are not available in this version; use -c FILE.`);
  }
  const named = config ?? (env["HEADGATE_CONFIG"] || undefined) ?? usualNames.find(exists);
  if (named !== undefined) return named;
  throw new UsageError(`There is no ${usualNames[0] ?? ""} here; name the document with -c FILE.`);
}
