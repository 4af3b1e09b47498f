import type { Bench, Scenario } from "../../kit/bench.ts";
import type { Cell, Check, ScenarioResult } from "../../kit/results.ts";
import { median } from "../../kit/statistics.ts";
import { rm } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { startEtcd } from "../kit/etcd.ts";
import { startStoreGateway, type StoreGateway } from "../kit/gateway.ts";
import { resourcesOf } from "../kit/resources.ts";

/** 100,000 routes: from the start of the process to serving, from etcd, and from the disk while etcd is away. */
export const startScenario: Scenario = { name: "start", run };

const workers = 2;
const times = 5;
/** Until what was listed is on the disk. */
const savedMs = 5_000;

interface Start {
  readonly readyMs: number;
  readonly cpuMs: number;
  readonly residentBytes: number;
}

async function run(bench: Bench): Promise<ScenarioResult> {
  const routes = bench.quick ? 5_000 : 100_000;
  await using etcd = await startEtcd(bench.dir, "start-etcd");
  await etcd.putAll(resourcesOf(routes, bench.upstream.port));
  const fromEtcd: Start[] = [];
  let dataDir = "";
  for (let i = 0; i < (bench.quick ? 1 : times); i++) {
    if (dataDir !== "") await rm(dataDir, { recursive: true, force: true });
    await using gateway = await startStoreGateway({ name: "start", dir: bench.dir, etcdPort: etcd.port, workers });
    fromEtcd.push(await startOf(gateway, "live"));
    dataDir = gateway.dataDir;
    await pause(savedMs);
  }
  await etcd.stop();
  const fromDisk: Start[] = [];
  for (let i = 0; i < (bench.quick ? 1 : times); i++) {
    const options = { name: "start", dir: bench.dir, etcdPort: etcd.port, workers, dataDir };
    await using gateway = await startStoreGateway(options);
    fromDisk.push(await startOf(gateway, "cache"));
  }
  const label = `${routes.toLocaleString("en")} routes`;
  return {
    name: "start",
    title: `From the start of the process until it serves, ${label}, ${workers} workers`,
    columns: ["", "starts", "ready s, best", "median", "CPU s, best", "MB resident"],
    rows: [row("from etcd", fromEtcd), row("from the disk, etcd away", fromDisk)],
    checks: [
      check(`From start to ready from etcd, ${label}`, fromEtcd, 10),
      check(`From start to ready from the disk, ${label}`, fromDisk, 5),
    ],
    notes: [
      "CPU time is that of all threads, workers and collectors of garbage included; `/readyz` is asked every 20 ms.",
    ],
    rounds: { fromEtcd, fromDisk },
  };
}

async function startOf(gateway: StoreGateway, source: string): Promise<Start> {
  const cpuMs = gateway.cpuUs() / 1_000;
  const residentBytes = gateway.residentBytes();
  const { configSource } = await gateway.status();
  if (configSource !== source) throw new Error(`it serves from ${configSource}, not from ${source}`);
  return { readyMs: gateway.readyMs, cpuMs, residentBytes };
}

function row(name: string, starts: readonly Start[]): Cell[] {
  const readyMs = starts.map((start) => start.readyMs);
  return [
    name,
    starts.length,
    Math.min(...readyMs) / 1_000,
    median(readyMs) / 1_000,
    Math.min(...starts.map(({ cpuMs }) => cpuMs)) / 1_000,
    Math.round(median(starts.map((start) => start.residentBytes)) / 1e6),
  ];
}

function check(what: string, starts: readonly Start[], limit: number): Check {
  return { what, value: median(starts.map(({ readyMs }) => readyMs)) / 1_000, bound: "at most", limit, unit: "s" };
}
