import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import os from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Where figures come from. Two results with the same facts may stand in one table. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  /** Program to version, for those that are there. */
  readonly versions: Readonly<Record<string, string>>;
}

/** A program, what makes it tell its version, and how that is read. */
export type ProgramVersion = readonly [name: string, argument: string, version: RegExp];

/** Asks the machine and each program; `more`: those that only some benchmarks use. */
export async function machineFacts(more: readonly ProgramVersion[] = []): Promise<Machine> {
  const versions: Record<string, string> = { node: process.versions.node };
  const programs: ProgramVersion[] = [
    ["nginx", "-v", /nginx\/(\S+)/],
    ["haproxy", "-v", /version (\S+)/],
    ["wrk", "-v", /wrk \S*?([\d.]+\S*)/],
    ...more,
  ];
  for (const [name, argument, version] of programs) {
    const found = version.exec(await outputOf(name, argument))?.[1];
    if (found !== undefined) versions[name] = found;
  }
  for (const name of ["@fastify/http-proxy", "http-proxy-3"]) versions[name] = await packageVersion(name);
  return {
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.availableParallelism(),
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    versions,
  };
}

async function outputOf(program: string, argument: string): Promise<string> {
  try {
    const { stdout, stderr } = await run(program, [argument]);
    return stdout + stderr;
  } catch (error) {
    // wrk prints its version and exits with 1.
    return typeof error === "object" && error !== null && "stdout" in error ? String(error.stdout) : "";
  }
}

/** Of a package of this repository: its folder is in node_modules, whether or not its exports show its package.json. */
async function packageVersion(name: string): Promise<string> {
  const path = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  const parsed: unknown = JSON.parse(await readFile(path, "utf8"));
  const version = typeof parsed === "object" && parsed !== null && "version" in parsed ? parsed.version : undefined;
  return typeof version === "string" ? version : "unknown";
}
