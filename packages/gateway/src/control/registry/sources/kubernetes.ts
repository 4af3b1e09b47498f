import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { KubernetesSettings } from "@headgate/schema";
import { z } from "zod";
import { pause } from "../../../core/timers.ts";
import type { Found, Source, SourceParts } from "../source.ts";
import { askJson, askLines, BrokenStreamError, StatusError, type HttpQuestion } from "./http.ts";
import { foundInSlices, sliceSchema, type Slice } from "./kubernetes-slices.ts";
import { Pace } from "./pace.ts";

const listMs = 30_000;
const watchMs = 10_000;
/** Bookmarks come about once a minute. A connection on which nothing comes for longer may be dead. */
const silenceMs = 150_000;
/** The server is asked to end a watch after this to twice this, so that clients do not come back all at once. */
const watchSeconds = 300;
/** A watch that brought nothing and ends sooner is a short one. */
const watchMsMin = 5_000;

/** What a pod knows of the cluster that it runs in. */
export interface Cluster {
  /** Of the API server; absent: this is no pod. */
  readonly url?: string;
  /** Where its account is: `token`, `ca.crt` and `namespace`. */
  readonly directory: string;
}

/** Kubernetes gives every pod the address of the API server in variables, and its account in files. */
export function clusterOf(env: Readonly<Record<string, string | undefined>>): Cluster {
  const directory = "/var/run/secrets/kubernetes.io/serviceaccount";
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  const port = env["KUBERNETES_SERVICE_PORT"] || "443";
  if (host === "") return { directory };
  return { url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`, directory };
}

const listSchema = z.object({
  metadata: z.object({ resourceVersion: z.string().min(1) }),
  items: z.array(sliceSchema),
});
const eventSchema = z.union([
  z.object({ type: z.enum(["ADDED", "MODIFIED", "DELETED"]), object: sliceSchema }),
  z.object({ type: z.literal("BOOKMARK"), object: z.object({ metadata: z.object({ resourceVersion: z.string() }) }) }),
  z.object({
    type: z.literal("ERROR"),
    object: z.object({ code: z.number().optional(), message: z.string().optional() }),
  }),
]);

/** The server does not remember what the watch is to begin at: it must be listed again. */
const gone = 410;

/**
 * Instances of a service of Kubernetes by its EndpointSlices: listed, then watched from the revision of the list, which
 * bookmarks keep young; listed again when the server has forgotten it. Beginning anew is a list of what is true now.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
export function kubernetesSource(settings: KubernetesSettings, parts: SourceParts, cluster: Cluster): Source {
  const { service, namespace, port } = settings;
  const at = settings.url === undefined ? "" : ` at ${settings.url}`;
  return {
    kind: "kubernetes",
    place: `${namespace === undefined ? "" : `${namespace}/`}${service}${port === undefined ? "" : `:${port}`}${at}`,
    follow: (signal) => new Slices(settings, parts, cluster, signal).follow(),
  };
}

class Slices {
  readonly #settings: KubernetesSettings;
  readonly #parts: SourceParts;
  readonly #cluster: Cluster;
  readonly #signal: AbortSignal;
  readonly #pace: Pace;
  readonly #slices = new Map<string, Slice>();
  #revision = "";

  constructor(settings: KubernetesSettings, parts: SourceParts, cluster: Cluster, signal: AbortSignal) {
    this.#settings = settings;
    this.#parts = parts;
    this.#cluster = cluster;
    this.#signal = signal;
    this.#pace = new Pace(parts.clock);
  }

  async *follow(): AsyncGenerator<Found, void, void> {
    const { timers, clock } = this.#parts;
    let shortWatches = 0;
    for (let listed = false; ;) {
      await pause(timers, this.#pace.next(), this.#signal);
      if (this.#signal.aborted) return;
      if (!listed) {
        await this.#list();
        listed = true;
        yield this.#found();
        continue;
      }
      const startedMs = clock.now();
      let brought = false;
      let broken: Error | undefined;
      try {
        for await (const line of this.#watch()) {
          if (this.#take(line)) yield this.#found();
          brought = true;
        }
      } catch (error) {
        if (error instanceof StatusError && error.status === gone) listed = false;
        // A watch that breaks goes on where it was.
        else if (error instanceof BrokenStreamError) broken = error;
        else throw error;
      }
      shortWatches = listed && !brought && clock.now() - startedMs < watchMsMin ? shortWatches + 1 : 0;
      // One may have met a server that restarts. What ends each of them may be in the way for good.
      if (shortWatches > 1) throw broken ?? new Error(`${this.#place}: ends each watch at once`);
    }
  }

  #found(): Found {
    return foundInSlices(this.#slices.values(), this.#settings.port);
  }

  get #place(): string {
    return this.#settings.url ?? this.#cluster.url ?? "Kubernetes";
  }

  /** Without a revision: what is true now, not what some server last heard. */
  async #list(): Promise<void> {
    const { json } = await askJson({ ...(await this.#question({})), timeoutMs: listMs });
    const parsed = listSchema.safeParse(json);
    if (!parsed.success) throw new Error(`${this.#place}: answered with something else than EndpointSlices`);
    this.#slices.clear();
    for (const slice of parsed.data.items) this.#slices.set(slice.metadata.name, slice);
    this.#revision = parsed.data.metadata.resourceVersion;
  }

  async *#watch(): AsyncGenerator<string, void, void> {
    const timeoutSeconds = String(Math.round(watchSeconds * (1 + this.#parts.random())));
    const query = { watch: "1", allowWatchBookmarks: "true", resourceVersion: this.#revision, timeoutSeconds };
    yield* askLines({ ...(await this.#question(query)), timeoutMs: watchMs }, silenceMs);
  }

  /** Whether it changed the slices. */
  #take(line: string): boolean {
    const event = eventSchema.safeParse(parsed(line));
    if (!event.success) throw new Error(`${this.#place}: sent something else than events of EndpointSlices`);
    const { type, object } = event.data;
    if (type === "ERROR") {
      const { code = 500, message = "no reason given" } = object;
      throw new StatusError(code, `${this.#place}: ended the watch with ${code} (${message})`);
    }
    this.#revision = object.metadata.resourceVersion;
    if (type === "BOOKMARK") return false;
    if (type === "DELETED") return this.#slices.delete(object.metadata.name);
    this.#slices.set(object.metadata.name, object);
    return true;
  }

  async #question(query: Readonly<Record<string, string>>): Promise<Omit<HttpQuestion, "timeoutMs">> {
    const { service } = this.#settings;
    const { url, namespace, token, ca } = await this.#access();
    const all = new URLSearchParams({ labelSelector: `kubernetes.io/service-name=${service}`, ...query });
    const path = `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`;
    return {
      url: `${url}${path}?${all.toString()}`,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ca,
      signal: this.#signal,
      timers: this.#parts.timers,
    };
  }

  /**
   * The pod's account is read anew each time, for its token is replaced within the hour. It is shown to the pod's own
   * API server only: whoever may write services would otherwise have it sent to wherever they like.
   */
  async #access(): Promise<{ url: string; namespace: string; token?: string | undefined; ca?: string | undefined }> {
    const { namespace = "default", url, token, ca } = this.#settings;
    if (url !== undefined) return { url, namespace, token, ca };
    const { url: own, directory } = this.#cluster;
    if (own === undefined) {
      throw new Error("the gateway does not run in a cluster (KUBERNETES_SERVICE_HOST is not set): name a url");
    }
    const read = async (name: string): Promise<string> => {
      try {
        return (await readFile(join(directory, name), "utf8")).trim();
      } catch (error) {
        throw new Error(`the account of the pod cannot be read: ${messageOf(error)}`, { cause: error });
      }
    };
    return {
      url: own,
      namespace: this.#settings.namespace ?? (await read("namespace")),
      token: await read("token"),
      ca: await read("ca.crt"),
    };
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
