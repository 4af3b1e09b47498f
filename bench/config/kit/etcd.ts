import { Agent, request } from "node:http";
import { join } from "node:path";
import { freePort, launch } from "../../kit/process.ts";
import type { Running } from "../../kit/process.ts";

/** A real etcd of one member, and plain writes to it. */
export interface Etcd extends AsyncDisposable {
  readonly port: number;
  /** One key, in one request. Resolves when etcd has answered. */
  put(key: string, value: string): Promise<void>;
  /** Many keys, in transactions of as many as etcd takes by default. */
  putAll(entries: readonly (readonly [key: string, value: string])[]): Promise<void>;
  deletePrefix(prefix: string): Promise<void>;
  /** Ends it; its data stay. */
  stop(): Promise<void>;
  /** Starts it again with its data, on the same port. */
  start(): Promise<void>;
}

/** etcd's default for `--max-txn-ops`. */
const operationsMax = 128;
/** As an operator with a hundred thousand keys would: two gibibytes instead of etcd's default, and no history kept. */
const settings = [
  "--quota-backend-bytes=2147483648",
  "--auto-compaction-mode=revision",
  "--auto-compaction-retention=1000",
];

/** Starts Debian's etcd with its data below `dir`. Rejects where there is none. */
export async function startEtcd(dir: string, name: string): Promise<Etcd> {
  const [port, peerPort] = [await freePort(), await freePort()];
  const client = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const command = [
    "etcd",
    ...[`--name=${name}`, `--data-dir=${join(dir, `${name}-${port}`)}`, "--logger=zap", "--log-level=error"],
    ...[`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
    ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`, `--initial-cluster=${name}=${peer}`],
    ...settings,
  ] as const;
  const start = (): Promise<Running> => launch({ name, command, port, ready: { port, path: "/health" } });
  let running = await start();
  // etcd's JSON gateway rather than a client of ours: what is measured must not measure itself. One kept connection.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const call = (path: string, body: object): Promise<void> => post(agent, port, path, JSON.stringify(body));
  const stop = async (): Promise<void> => running.stop();
  return {
    port,
    put: (key, value) => call("/v3/kv/put", keyValue(key, value)),
    async putAll(entries) {
      for (let at = 0; at < entries.length; at += operationsMax) {
        const success = entries
          .slice(at, at + operationsMax)
          .map(([key, value]) => ({ requestPut: keyValue(key, value) }));
        await call("/v3/kv/txn", { success });
      }
    },
    deletePrefix: (prefix) => call("/v3/kv/deleterange", { key: base64(prefix), range_end: base64(endOf(prefix)) }),
    stop,
    async start() {
      running = await start();
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      await stop();
    },
  };
}

function post(agent: Agent, port: number, path: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request({ agent, host: "127.0.0.1", port, path, method: "POST", headers }, (response) => {
      let answer = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (answer += chunk));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`etcd answered ${response.statusCode} to ${path}: ${answer.slice(0, 200)}`));
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function keyValue(key: string, value: string): { key: string; value: string } {
  return { key: base64(key), value: base64(value) };
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** The first key behind all that begin with an ASCII prefix. */
function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
