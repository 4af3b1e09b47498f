import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "./ports.ts";
import type { Scope } from "./scope.ts";
import { waitFor } from "./wait.ts";

const run = promisify(execFile);
const env = { PATH: "/usr/bin:/bin", ETCDCTL_API: "3" };

export interface EtcdMember {
  readonly name: string;
  readonly clientPort: number;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again where it was killed. */
  restart(): Promise<void>;
}

/** A real etcd of several members, each a process with its data in a temporary directory. */
export interface EtcdCluster {
  /** Those that were not removed. */
  readonly members: readonly EtcdMember[];
  /** Runs etcdctl against the members that run. */
  ctl(...args: string[]): Promise<string>;
  /** Kills a member, takes it out of the cluster, and has a new one with no data take over its address. */
  replace(member: EtcdMember): Promise<EtcdMember>;
  /** Waits until a read that needs a majority is answered. */
  ready(): Promise<void>;
}

/** Starts a cluster and waits until it answers. */
export async function startEtcdCluster(scope: Scope, size: number): Promise<EtcdCluster> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-etcd-"));
  const cluster = new Cluster(directory);
  scope.after(async () => {
    await Promise.all(cluster.members.map((member) => member.kill()));
    rmSync(directory, { recursive: true, force: true });
  });
  for (let n = 0; n < size; n++)
    cluster.members.push(new Member(`m${n}`, directory, await freePort(), await freePort()));
  const peers = cluster.peers();
  for (const member of cluster.members) member.start("new", peers);
  await cluster.ready();
  return cluster;
}

class Cluster implements EtcdCluster {
  readonly members: Member[] = [];
  readonly #directory: string;
  #names = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  peers(): string {
    return this.members.map(({ name, peer }) => `${name}=${peer}`).join(",");
  }

  async ctl(...args: string[]): Promise<string> {
    const endpoints = this.members.filter(({ running }) => running).map(({ clientPort }) => `127.0.0.1:${clientPort}`);
    const all = [`--endpoints=${endpoints.join(",")}`, "--command-timeout=5s", ...args];
    return (await run("/usr/bin/etcdctl", all, { env, maxBuffer: 64 * 1024 * 1024 })).stdout;
  }

  async replace(old: EtcdMember): Promise<EtcdMember> {
    await old.kill();
    const listed = await this.ctl("member", "list");
    const id =
      listed
        .split("\n")
        .find((line) => line.includes(`, ${old.name}, `))
        ?.split(",")[0] ?? "";
    await this.ctl("member", "remove", id);
    this.members.splice(
      this.members.findIndex((member) => member === old),
      1,
    );
    const added = new Member(`added${this.#names++}`, this.#directory, old.clientPort, await freePort());
    await this.ctl("member", "add", added.name, `--peer-urls=${added.peer}`);
    this.members.push(added);
    added.start("existing", this.peers());
    await this.ready();
    return added;
  }

  async ready(): Promise<void> {
    const reads = async (): Promise<boolean> => {
      for (const { running, clientPort } of this.members) {
        if (!running) continue;
        const one = ["--command-timeout=2s", `--endpoints=127.0.0.1:${clientPort}`, "get", "x"];
        if (
          !(await run("/usr/bin/etcdctl", one, { env }).then(
            () => true,
            () => false,
          ))
        )
          return false;
      }
      return true;
    };
    await waitFor(reads, { what: () => this.members.map((member) => member.said).join("\n"), deadlineMs: 40_000 });
  }
}

class Member implements EtcdMember {
  readonly name: string;
  readonly clientPort: number;
  readonly peer: string;
  said = "";
  readonly #dataDir: string;
  #args: readonly string[] = [];
  #process: ChildProcess | undefined;

  constructor(name: string, directory: string, clientPort: number, peerPort: number) {
    this.name = name;
    this.clientPort = clientPort;
    this.peer = `http://127.0.0.1:${peerPort}`;
    this.#dataDir = join(directory, name);
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  start(state: "new" | "existing", peers: string): void {
    const client = `http://127.0.0.1:${this.clientPort}`;
    this.#args = [
      ...[`--name=${this.name}`, `--data-dir=${this.#dataDir}`, "--logger=zap", "--log-level=error"],
      ...[`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
      ...[`--listen-peer-urls=${this.peer}`, `--initial-advertise-peer-urls=${this.peer}`],
      ...[`--initial-cluster=${peers}`, `--initial-cluster-state=${state}`],
      // Else a cluster that came to be seconds ago takes no new member.
      "--strict-reconfig-check=false",
    ];
    this.#spawn();
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async restart(): Promise<void> {
    await this.kill();
    this.#spawn();
  }

  #spawn(): void {
    const child = spawn("/usr/bin/etcd", this.#args, { stdio: ["ignore", "ignore", "pipe"], env });
    child.stderr.on("data", (chunk: Buffer) => (this.said = (this.said + chunk.toString()).slice(-2_000)));
    this.#process = child;
  }
}
