import { execFile } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const script = fileURLToPath(new URL("../wrk/load.lua", import.meta.url));

/** What wrk sends. */
export interface Load {
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** With a body the method is POST. Default 0. */
  readonly bodyBytes?: number;
  /** Spreads the requests over this many paths, `/api/v1/service-<i>/items/42`, in place of `path`. Default 0. */
  readonly routes?: number;
  /** Before each request on each connection; makes a load of a rate, more or less. Default 0. */
  readonly pauseMs?: number;
}

/** What came of it. */
export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Received, heads included. */
  readonly bytes: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** Answers of 400 and above. */
  readonly failedStatus: number;
  /** Connections refused or cut, and requests without an answer within ten seconds. */
  readonly socketErrors: number;
}

/** Runs wrk with one thread against 127.0.0.1. Rejects if wrk is missing or prints no result. */
export async function runWrk(port: number, load: Load): Promise<LoadResult> {
  const { stdout } = await run("wrk", argumentsOf(port, load));
  return parseWrk(stdout);
}

/** Longer than any benchmark; `stop` ends it. */
const untilStoppedSeconds = 86_400;

/** A load that runs until it is stopped, which resolves with what came of it. */
export async function startWrk(port: number, load: Omit<Load, "seconds">): Promise<{ stop(): Promise<LoadResult> }> {
  const child = execFile("wrk", argumentsOf(port, { ...load, seconds: untilStoppedSeconds }));
  const lastResort = (): void => void child.kill("SIGKILL");
  process.once("exit", lastResort);
  let output = "";
  child.stdout?.on("data", (chunk: string) => (output += chunk));
  const gone = once(child, "close");
  await once(child, "spawn");
  return {
    async stop() {
      child.kill("SIGINT"); // it prints its result then
      await gone;
      process.off("exit", lastResort);
      return parseWrk(output);
    },
  };
}

function argumentsOf(port: number, load: Load): string[] {
  const headers = Object.entries(load.headers ?? {}).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const bodyBytes = load.bodyBytes ?? 0;
  return [
    ...["-t1", `-c${load.connections}`, `-d${load.seconds}s`, "--timeout", "10s", "-s", script, ...headers],
    `http://127.0.0.1:${port}${load.path}`,
    bodyBytes > 0 ? "POST" : "GET",
    String(bodyBytes),
    String(load.routes ?? 0),
    String(load.pauseMs ?? 0),
  ];
}

/** Reads the line of JSON that load.lua ends with. */
export function parseWrk(output: string): LoadResult {
  const line = output.split("\n").findLast((each) => each.startsWith("{"));
  if (line === undefined) throw new Error(`wrk printed no result: ${output.trim().slice(-300)}`);
  const parsed: unknown = JSON.parse(line);
  const number = (name: string): number => {
    const value = typeof parsed === "object" && parsed !== null ? Reflect.get(parsed, name) : undefined;
    if (typeof value !== "number") throw new Error(`wrk's result has no number "${name}"`);
    return value;
  };
  return {
    requests: number("requests"),
    seconds: number("durationUs") / 1e6,
    bytes: number("bytes"),
    p50Us: number("p50Us"),
    p99Us: number("p99Us"),
    maxUs: number("maxUs"),
    failedStatus: number("failedStatus"),
    socketErrors: number("connect") + number("read") + number("write") + number("timeout"),
  };
}
