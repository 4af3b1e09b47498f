import { RegistryError, type Announcement, type Registry } from "./registry.ts";
import { objectOf, summaryOf, type Answer, type Send } from "./send.ts";

export interface EtcdRegistryOptions {
  readonly send: Send;
  readonly key: string;
  readonly healthKey: string;
  readonly ttlMs: number;
  readonly username?: string;
  readonly password?: string;
}

/**
 * etcd, through the JSON gateway that every server from 3.4 on has at its client port: no gRPC, no dependency. Keys and
 * values travel as base64, 64-bit numbers as text.
 */
export class EtcdRegistry implements Registry {
  readonly #options: EtcdRegistryOptions;
  #leaseId: string | undefined;
  #token: string | undefined;
  #report: string | undefined;

  constructor(options: EtcdRegistryOptions) {
    this.#options = options;
  }

  async register(announcement: Announcement): Promise<number> {
    const { key, healthKey, ttlMs } = this.#options;
    if (!(await this.#isLeaseAlive())) {
      const granted = await this.#call("/v3/lease/grant", { TTL: String(Math.ceil(ttlMs / 1000)) });
      if (typeof granted["ID"] !== "string") throw refused("etcd granted a lease without an id");
      this.#leaseId = granted["ID"];
    }
    await this.#put(key, JSON.stringify(announcement));
    if (this.#report !== undefined) await this.#put(healthKey, this.#report);
    // etcd raises times to live that are shorter than an election. A longer one does not make us slower.
    return ttlMs;
  }

  /**
   * A put that got no answer may still be on its way. With a second lease it could arrive last, tie the key to the first
   * one, and take the instance away when that runs out; so the first is used for as long as etcd knows it.
   */
  async #isLeaseAlive(): Promise<boolean> {
    if (this.#leaseId === undefined) return false;
    try {
      await this.keepAlive();
      return true;
    } catch (error) {
      if (!(error instanceof RegistryError && error.failure === "lost")) throw error;
      this.#leaseId = undefined;
      return false;
    }
  }

  announce(announcement: Announcement): Promise<void> {
    return this.#put(this.#options.key, JSON.stringify(announcement));
  }

  async keepAlive(): Promise<void> {
    const said = await this.#call("/v3/lease/keepalive", { ID: this.#lease() }, true);
    const result = said["result"];
    const ttl = typeof result === "object" && result !== null && "TTL" in result ? Number(result.TTL) : 0;
    // A lease that is gone is answered with a time to live of 0, which JSON leaves out.
    if (!(ttl > 0)) throw lost();
  }

  report(report: string): Promise<void> {
    this.#report = report;
    return this.#put(this.#options.healthKey, report);
  }

  /** Revoking deletes every key of the lease, in one revision. */
  async withdraw(): Promise<void> {
    const id = this.#leaseId;
    if (id === undefined) return;
    this.#leaseId = undefined;
    try {
      await this.#call("/v3/lease/revoke", { ID: id });
    } catch (error) {
      if (error instanceof RegistryError && error.failure === "lost") return;
      throw error;
    }
  }

  async #put(key: string, value: string): Promise<void> {
    await this.#call("/v3/kv/put", { key: base64(key), value: base64(value), lease: this.#lease() });
  }

  #lease(): string {
    if (this.#leaseId === undefined) throw lost();
    return this.#leaseId;
  }

  async #call(path: string, body: object, firstLine = false): Promise<Readonly<Record<string, unknown>>> {
    const hadToken = this.#token !== undefined;
    let answer = await this.#ask(path, body, firstLine);
    // A token ages, and dies with the server that gave it.
    if (hadToken && /invalid auth token|revision .*auth store.* old/.test(problemOf(answer) ?? "")) {
      this.#token = undefined;
      answer = await this.#ask(path, body, firstLine);
    }
    const problem = problemOf(answer);
    if (problem !== undefined) throw this.#errorOf(problem, answer);
    return objectOf(answer.text);
  }

  async #ask(path: string, body: object, firstLine: boolean): Promise<Answer> {
    this.#token ??= await this.#authenticate();
    const headers: Record<string, string> = this.#token === "" ? {} : { authorization: this.#token };
    return this.#options.send({ method: "POST", path, headers, body: JSON.stringify(body), firstLine });
  }

  /** Empty where no user is configured, or etcd wants none. */
  async #authenticate(): Promise<string> {
    const { username, password = "", send } = this.#options;
    if (username === undefined) return "";
    const body = JSON.stringify({ name: username, password });
    const answer = await send({ method: "POST", path: "/v3/auth/authenticate", headers: {}, body });
    const problem = problemOf(answer);
    if (problem?.includes("authentication is not enabled")) return "";
    if (problem !== undefined) throw this.#errorOf(problem, answer);
    const { token } = objectOf(answer.text);
    if (typeof token !== "string") throw refused(`etcd at ${answer.endpoint} authenticated without a token`);
    return token;
  }

  #errorOf(problem: string, { endpoint }: Answer): RegistryError {
    const { username, key } = this.#options;
    if (/lease not found/.test(problem)) return lost();
    if (/authentication failed/.test(problem)) {
      return refused(
        `etcd at ${endpoint} refuses the user "${username ?? ""}" or its password: correct to.username and to.password`,
      );
    }
    if (/user name is empty|user name not found/.test(problem)) {
      return refused(`etcd at ${endpoint} asks for a user: give to.username and to.password`);
    }
    if (/permission denied/.test(problem)) {
      return refused(
        `etcd at ${endpoint} does not let the user "${username ?? ""}" write ${key}: grant its role the prefixes`,
      );
    }
    return refused(`etcd at ${endpoint} refuses: ${problem}`);
  }
}

/** What etcd objects to, or undefined. A stream says it inside an answer that began with status 200. */
function problemOf(answer: Answer): string | undefined {
  const { error } = objectOf(answer.text);
  if (typeof error === "object" && error !== null) return summaryOf(JSON.stringify(error));
  return answer.status === 200 ? undefined : summaryOf(answer.text);
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function lost(): RegistryError {
  return new RegistryError("lost", "etcd no longer knows the lease");
}

function refused(message: string): RegistryError {
  return new RegistryError("refused", message);
}
