import type http from "node:http";
import { ApiServer, type ApiFailure, type ApiRequest } from "./api-server.ts";
import type { Scope } from "./scope.ts";

/** An entry of `/v1/health/service/...`, as far as tests need it. */
export interface ConsulEntry {
  readonly Node: object;
  readonly Service: object;
  readonly Checks: readonly { readonly CheckID: string; readonly Status: string }[];
}

/** An instance whose checks pass. */
export function consulEntry(
  address: string,
  more: { service?: object; node?: object; checks?: string[] } = {},
): ConsulEntry {
  const at = address.lastIndexOf(":");
  return {
    Node: { Node: "n1", Address: "10.9.9.9", Datacenter: "dc1", ...more.node },
    Service: {
      ...{ ID: address, Service: "users", Address: address.slice(0, at), Port: Number(address.slice(at + 1)) },
      ...{ Tags: [], Meta: {}, Weights: { Passing: 1, Warning: 1 } },
      ...more.service,
    },
    Checks: (more.checks ?? ["passing"]).map((status, i) => ({ CheckID: `check:${i}`, Status: status })),
  };
}

/** The health endpoint of a Consul agent, with blocking queries. */
export class ConsulServer extends ApiServer {
  index = 10;
  entries: readonly ConsulEntry[] = [];
  /** Whether a question at the current index is held back, as it should be. */
  blocking = true;
  #held: http.ServerResponse[] = [];

  /** From now on it says this, one index further on; who waits is told. */
  set(entries: readonly ConsulEntry[], index = this.index + 1): void {
    this.entries = entries;
    this.index = index;
    this.release();
  }

  /** Answers who waits, as when their time is over. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const response of held) this.#tell(response);
  }

  /** From now on; who waits is the first to notice. */
  fail(failure: ApiFailure | undefined): void {
    this.failure = failure;
    if (failure !== undefined) this.release();
  }

  get waiting(): number {
    return this.#held.filter(({ destroyed }) => !destroyed).length;
  }

  protected answer({ query }: ApiRequest, response: http.ServerResponse): void {
    const known = Number(query.get("index") ?? 0);
    if (this.blocking && known > 0 && known >= this.index) this.#held.push(response);
    else this.#tell(response);
  }

  #tell(response: http.ServerResponse): void {
    this.send(response, this.entries, { "x-consul-index": String(this.index) });
  }
}

/** Starts one; ended with the test. */
export async function consulServer(scope: Scope): Promise<ConsulServer> {
  const server = new ConsulServer(scope);
  await server.listen();
  return server;
}
