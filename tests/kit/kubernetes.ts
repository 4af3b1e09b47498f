import type http from "node:http";
import { ApiServer, type ApiFailure, type ApiRequest } from "./api-server.ts";
import type { Scope } from "./scope.ts";

/** A slice as a test writes it; the server adds the metadata. */
export interface SliceInput {
  readonly addressType?: string;
  readonly ports?: readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[] | null;
  readonly endpoints?: readonly EndpointInput[] | null;
}

export interface EndpointInput {
  readonly addresses: readonly string[];
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
  readonly zone?: string;
}

interface Event {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: object;
}

interface Watch {
  readonly response: http.ServerResponse;
}

/** The EndpointSlices of one service, as the API server has them: lists, watches from a revision, bookmarks, expiry. */
export class KubernetesApi extends ApiServer {
  /** Events that were sent on watches. */
  sent = 0;
  /** How a watch from a forgotten revision is refused: with a status, or with an event on the stream. */
  expiredAs: "status" | "event" = "status";
  #revision = 100;
  #forgotten = 0;
  readonly #slices = new Map<string, object>();
  readonly #events: Event[] = [];
  readonly #watches = new Set<Watch>();

  get watching(): number {
    return this.#watches.size;
  }

  put(name: string, slice: SliceInput): void {
    const type = this.#slices.has(name) ? "MODIFIED" : "ADDED";
    const revision = ++this.#revision;
    const metadata = { name, namespace: "shop", resourceVersion: String(revision) };
    const object = {
      ...{ addressType: "IPv4", ports: [{ name: "http", port: 80, protocol: "TCP" }] },
      ...slice,
      metadata,
    };
    this.#slices.set(name, object);
    this.#tell({ revision, type, object });
  }

  delete(name: string): void {
    const revision = ++this.#revision;
    const last = this.#slices.get(name) ?? {};
    this.#slices.delete(name);
    const metadata = { name, resourceVersion: String(revision) };
    this.#tell({ revision, type: "DELETED", object: { ...last, metadata } });
  }

  /** Watches from revisions up to now are refused. */
  forget(): void {
    this.#forgotten = this.#revision;
  }

  /** Other objects change too: the revision goes on, and bookmarks say so. */
  bookmark(): void {
    this.#revision += 1_000;
    for (const { response } of this.#watches) {
      const metadata = { resourceVersion: String(this.#revision), creationTimestamp: null };
      write(response, {
        type: "BOOKMARK",
        object: { kind: "EndpointSlice", apiVersion: "discovery.k8s.io/v1", metadata },
      });
    }
  }

  /** Ends all watches in order, as a server does when their time is over. */
  endWatches(): void {
    for (const { response } of this.#watches) response.end();
  }

  /** From now on; who watches is the first to notice. */
  fail(failure: ApiFailure | undefined): void {
    this.failure = failure;
    for (const { response } of this.#watches) {
      if (failure === "error")
        write(response, { type: "ERROR", object: { kind: "Status", code: 500, message: "no leader" } });
      if (failure === "garbage") response.write("<html>\n");
      if (failure === "half") response.write('{"type":"MODIFIED","object":{"meta', () => response.destroy());
      if (failure === "cut") response.destroy();
    }
  }

  protected answer({ query }: ApiRequest, response: http.ServerResponse): void {
    if (query.get("watch") === null) {
      const items = [...this.#slices.values()];
      this.send(response, { kind: "EndpointSliceList", metadata: { resourceVersion: String(this.#revision) }, items });
      return;
    }
    const from = Number(query.get("resourceVersion"));
    if (from < this.#forgotten) this.#refuse(response);
    else this.#watch(response, from);
  }

  #refuse(response: http.ServerResponse): void {
    const object = {
      kind: "Status",
      status: "Failure",
      code: 410,
      reason: "Expired",
      message: "too old resource version",
    };
    if (this.expiredAs === "status") {
      response.writeHead(410, { "content-type": "application/json" }).end(JSON.stringify(object));
    } else {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(`${JSON.stringify({ type: "ERROR", object })}\n`);
    }
  }

  #watch(response: http.ServerResponse, from: number): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const watch = { response };
    this.#watches.add(watch);
    response.on("close", () => this.#watches.delete(watch));
    for (const event of this.#events) if (event.revision > from) this.#send(watch, event);
  }

  #tell(event: Event): void {
    this.#events.push(event);
    if (this.failure !== undefined && this.failure !== "slow") return;
    for (const watch of this.#watches) this.#send(watch, event);
  }

  #send({ response }: Watch, { type, object }: Event): void {
    this.sent++;
    const line = `${JSON.stringify({ type, object })}\n`;
    if (this.failure !== "slow") response.write(line);
    else for (const byte of Buffer.from(line)) response.write(Buffer.of(byte));
  }
}

function write(response: http.ServerResponse, event: object): void {
  response.write(`${JSON.stringify(event)}\n`);
}

/** Starts one; ended with the test. */
export async function kubernetesApi(scope: Scope): Promise<KubernetesApi> {
  const server = new KubernetesApi(scope);
  await server.listen();
  return server;
}
