/** What a transaction writes: by key; text as it is, anything else as JSON, undefined deletes. */
export type Writes = Readonly<Record<string, unknown>>;

interface Written {
  readonly header: { readonly revision: string };
}

/**
 * The data of a real etcd, over its JSON interface: no process for each call, and none of the code under test. For
 * clusters: the address of any member.
 */
export class EtcdData {
  readonly #endpoint: string;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /** One transaction; the revision it made. etcd takes at most 128 keys. */
  async write(writes: Writes): Promise<number> {
    const success = Object.entries(writes).map(([key, value]) =>
      value === undefined
        ? { requestDeleteRange: { key: base64(key) } }
        : {
            requestPut: { key: base64(key), value: base64(typeof value === "string" ? value : JSON.stringify(value)) },
          },
    );
    return this.#revision("kv/txn", { success });
  }

  /** Deletes every key that begins with `prefix`, in one revision. */
  async deletePrefix(prefix: string): Promise<number> {
    return this.#revision("kv/deleterange", { key: base64(prefix), range_end: base64(behind(prefix)) });
  }

  async compact(revision: number): Promise<void> {
    await this.#call("kv/compaction", { revision, physical: true });
  }

  async revision(): Promise<number> {
    return this.#revision("kv/range", { key: base64("x"), count_only: true });
  }

  /** The keys below a prefix as of a revision. */
  async keysAt(prefix: string, revision: number): Promise<string[]> {
    const range = { key: base64(prefix), range_end: base64(behind(prefix)), revision, keys_only: true };
    const { kvs = [] } = (await this.#call("kv/range", range)) as {
      readonly kvs?: readonly { readonly key: string }[];
    }; // etcd's form
    return kvs.map(({ key }) => Buffer.from(key, "base64").toString("utf8"));
  }

  async #revision(path: string, body: object): Promise<number> {
    return Number(((await this.#call(path, body)) as Written).header.revision); // every answer of etcd has one
  }

  async #call(path: string, body: object): Promise<unknown> {
    const response = await fetch(`${this.#endpoint}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd answered ${path} with ${response.status}: ${text}`);
    return JSON.parse(text);
  }
}

/** The first key behind all that begin with `prefix`. */
function behind(prefix: string): string {
  const last = prefix.length - 1;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
