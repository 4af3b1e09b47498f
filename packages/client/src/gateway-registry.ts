import { RegistryError, type Announcement, type Registry } from "./registry.ts";
import { summaryOf, type Question, type Send } from "./send.ts";

export interface GatewayRegistryOptions {
  readonly send: Send;
  readonly service: string;
  readonly address: string;
  readonly token: string;
  readonly ttlMs: number;
}

/** A gateway's admin API: the gateway holds the lease, and the same request that made the entry renews it. */
export class GatewayRegistry implements Registry {
  readonly #options: GatewayRegistryOptions;
  readonly #path: string;
  #report: string | undefined;
  #isWritten = false;

  constructor(options: GatewayRegistryOptions) {
    this.#options = options;
    // A colon is allowed in a path and easier on the eye in logs.
    const address = encodeURIComponent(options.address).replaceAll("%3A", ":");
    this.#path = `/v1/instances/${encodeURIComponent(options.service)}/${address}`;
  }

  async register(announcement: Announcement): Promise<number> {
    await this.announce(announcement);
    if (this.#report !== undefined) await this.report(this.#report);
    return this.#options.ttlMs;
  }

  async announce(announcement: Announcement): Promise<void> {
    // Said before the answer: one that is lost may have had its effect.
    this.#isWritten = true;
    await this.#ask("PUT", this.#path, JSON.stringify({ ttl: `${this.#options.ttlMs}ms`, ...announcement }));
  }

  keepAlive(announcement: Announcement): Promise<void> {
    return this.announce(announcement);
  }

  async report(report: string): Promise<void> {
    this.#report = report;
    await this.#ask("PUT", `${this.#path}/health`, report);
  }

  async withdraw(): Promise<void> {
    if (!this.#isWritten) return;
    this.#isWritten = false;
    try {
      await this.#ask("DELETE", this.#path);
    } catch (error) {
      if (error instanceof RegistryError && error.failure === "lost") return;
      throw error;
    }
  }

  async #ask(method: Question["method"], path: string, body?: string): Promise<void> {
    const { send, token } = this.#options;
    const headers = { authorization: `Bearer ${token}` };
    const answer = await send({ method, path, headers, ...(body === undefined ? {} : { body }) });
    if (answer.status < 300) return;
    const gateway = `the gateway at ${answer.endpoint}`;
    if (answer.status === 401 || answer.status === 403) {
      throw new RegistryError("refused", `${gateway} refuses the token: give to.token what its admin-token file holds`);
    }
    const problem = summaryOf(answer.text);
    if (answer.status === 404) throw new RegistryError("lost", `${gateway} does not know the instance: ${problem}`);
    throw new RegistryError("refused", `${gateway} refuses with status ${answer.status}: ${problem}`);
  }
}
