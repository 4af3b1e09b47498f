import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Scope } from "../../../tests/kit/scope.ts";
import { Bell } from "../../../tests/kit/wait.ts";

/** A service in a process of its own, and what it said. */
export interface ServiceProcess {
  readonly child: ChildProcess;
  readonly lines: readonly string[];
  /** The first line from `from` on that matches. */
  line(pattern: RegExp, from?: number): Promise<string>;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Runs service.fixtures.ts with these options; killed when the test ends. */
export function startService(scope: Scope, options: object): ServiceProcess {
  const program = join(import.meta.dirname, "service.fixtures.ts");
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  const bell = new Bell();
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
    bell.ring();
  });
  const exited = once(child, "close").then(() => ({ code: child.exitCode, signal: child.signalCode }));
  scope.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  return {
    child,
    lines,
    exited,
    line(pattern, from = 0) {
      const what = (): string => `${String(pattern)} from the service; it said ${JSON.stringify(lines)}`;
      return bell.until(() => lines.slice(from).find((line) => pattern.test(line)), what, 30_000);
    },
  };
}
