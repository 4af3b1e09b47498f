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
export function settingsOfFlags({ listen = [], admin, store, dataDir, workers, set = [] }: StartFlags): Setting[] {
  const settings: Setting[] = set.map((text) => {
    try {
      return parseSetting(text, "--set");
    } catch (error) {
      throw new UsageError(`--set: ${error instanceof Error ? error.message : String(error)}.`);
    }
  });
  // In front: `--set` says more of the store that the flag names.
  if (store !== undefined) settings.unshift(storeSetting(store, "--store"));
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
  const { HEADGATE_STORE: store } = env;
  if (listen)
    settings.push(
      listenSetting(
        listen.split(",").map((address) => address.trim()),
        "HEADGATE_LISTEN",
      ),
    );
  if (admin) settings.push({ path: ["gateway", "admin", "address"], value: admin, source: "HEADGATE_ADMIN" });
  if (store) settings.push(storeSetting(store, "HEADGATE_STORE"));
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

const storeExpected = "expected etcd://host:2379[,host:2379]/prefix/, etcds:// for TLS, or embedded:";

/**
 * `etcd://[user:password@]host:port[,host:port]/prefix/`, `etcds://` for TLS, `embedded:`, and `embedded:host:port` to
 * serve etcd's API there.
 */
function storeSetting(url: string, source: string): Setting {
  const path = ["gateway", "store"];
  const embedded = /^embedded:(?:\/\/)?(.*)$/.exec(url);
  if (embedded !== null) {
    const listen = embedded[1] ?? "";
    return { path, value: { embedded: listen === "" ? {} : { listen } }, source };
  }
  const parts = /^etcd(s?):\/\/(?:([^@/]*)@)?([^/@]+)(\/.*)?$/.exec(url);
  if (parts === null) throw new UsageError(`${source}: ${storeExpected}.`);
  const [, tls = "", user, hosts = "", prefix] = parts;
  const endpoints = hosts.split(",").map((host) => `http${tls}://${/:\d+$/.test(host) ? host : `${host}:2379`}`);
  const etcd = {
    endpoints,
    ...(prefix === undefined || prefix === "/" ? {} : { prefix }),
    ...credentials(user, source),
  };
  return { path, value: { etcd }, source };
}

function credentials(user: string | undefined, source: string): { username?: string; password?: string } {
  if (user === undefined || user === "") return {};
  const [username = "", password] = user.split(/:(.*)/s);
  try {
    return {
      username: decodeURIComponent(username),
      ...(password === undefined ? {} : { password: decodeURIComponent(password) }),
    };
  } catch {
    throw new UsageError(`${source}: the user or the password is not percent-encoded as in a URL.`);
  }
}

/** Where the configuration comes from when neither a file nor a store is named. */
export const storeByDefault: Setting = { path: ["gateway", "store"], value: { embedded: {} }, source: "the default" };

/** The document to serve: the flag's, else HEADGATE_CONFIG's; undefined: none. */
export function configFile(
  { config }: StartFlags,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  return config ?? (env["HEADGATE_CONFIG"] || undefined);
}
