import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { FakeClock } from "../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../tests/kit/fake-timers.ts";
import { portOf } from "../../../../tests/kit/ports.ts";
import { within } from "../../../../tests/kit/wait.ts";
import type { Screen } from "./admin-command.ts";
import { runProgram, type ProgramSurroundings } from "./program.ts";

export const token = "t0ken";

/** A request that the fake admin API got. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

/** What it answers: a status and JSON, or text as it is; or the response itself. */
export type Answer = readonly [status: number, body: unknown] | ((response: ServerResponse, asked: Asked) => void);

/** By method and path: `GET /v1/routes`. A list is answered one by one, the last again and again. */
export type Answers = Readonly<Record<string, Answer | readonly Answer[]>>;

/** A small admin API that answers what it is told to, and remembers what it was asked. */
export async function fakeAdmin(t: TestContext, answers: Answers) {
  const asked: Asked[] = [];
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://admin.test");
    const key = `${request.method ?? ""} ${decodeURIComponent(url.pathname)}`;
    let text = "";
    request.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    request.on("end", () => {
      const { method = "", headers } = request;
      const body: unknown = text === "" ? undefined : JSON.parse(text);
      const one = {
        method,
        path: decodeURIComponent(url.pathname),
        query: Object.fromEntries(url.searchParams),
        headers,
        body,
      };
      asked.push(one);
      const given = answers[key] ?? problem(404, `There is no ${key}.`);
      const turn = counts.get(key) ?? 0;
      counts.set(key, turn + 1);
      const list = isList(given) ? given : [given];
      give(list[Math.min(turn, list.length - 1)] ?? problem(500, "no answer"), response, one);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, address: `127.0.0.1:${portOf(server)}`, server };
}

function isList(given: Answer | readonly Answer[]): given is readonly Answer[] {
  return Array.isArray(given) && typeof given[0] !== "number";
}

function give(answer: Answer, response: ServerResponse, asked: Asked): void {
  if (typeof answer === "function") return answer(response, asked);
  const [status, body] = answer;
  const isText = typeof body === "string";
  response.writeHead(status, { "content-type": isText ? "text/plain" : "application/json" });
  response.end(isText ? body : JSON.stringify(body));
}

/** An answer of failure as the admin API gives it. */
export function problem(status: number, detail: string, extra: object = {}): Answer {
  return [status, { type: "about:blank", title: "No", status, detail, ...extra }];
}

/** What the admin API answers to a change that differs in nothing. */
export const unchanged = {
  dryRun: false,
  revision: 41,
  change: null,
  transactions: 0,
  diff: [],
  warnings: [],
  unreachable: [],
};

export interface RunOptions {
  /** Files of the working directory. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly screen?: Screen;
  readonly author?: string;
}

/** Real time; only reached when a test fails. */
const endsWithinMs = 30_000;

/** A command that runs in a directory of its own, against the admin API at an address. */
export async function startCommand(t: TestContext, address: string, args: readonly string[], options: RunOptions = {}) {
  const cwd = await mkdtemp(join(tmpdir(), "headgate-cli-"));
  t.after(() => rm(cwd, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(cwd, name), text);
  const clock = new FakeClock();
  const timers = fakeTimers(clock);
  const armed = new Set<{ readonly delayMs: number }>();
  const signals = new Map<string, () => void>();
  const said = { out: "", err: "" };
  const env = { HEADGATE_ADMIN: address, HEADGATE_ADMIN_TOKEN: token, ...options.env };
  const { screen } = options;
  const surroundings: ProgramSurroundings = {
    env,
    cwd,
    stdout: (text) => void (said.out += text),
    stderr: (text) => void (said.err += text),
    terminal: false,
    version: "1.2.3",
    process: { node: "v24.0.0", pid: 1, startedSeconds: 0, cpuSeconds: () => 0, residentBytes: () => 0 },
    cores: 1,
    workerEntry: new URL("file:///none"),
    clock,
    timers: {
      ...timers,
      after(delayMs, action) {
        const timer = { delayMs };
        armed.add(timer);
        const cancel = timers.after(delayMs, () => {
          armed.delete(timer);
          action();
        });
        return () => {
          armed.delete(timer);
          cancel();
        };
      },
    },
    onSignal: (signal, action) => void signals.set(signal, action),
    exit: () => undefined,
    kill: () => undefined,
    author: options.author ?? "ann@host",
    readStdin: () => Promise.resolve(options.stdin ?? ""),
    ...(screen === undefined ? {} : { screen }),
  };
  const done = within(
    runProgram(args, surroundings),
    () => `the end of ${args.join(" ")}: ${JSON.stringify(said)}`,
    endsWithinMs,
  );
  done.catch(() => undefined); // it is told to whoever awaits it
  /** The times that the command waits for now. */
  const waits = (): number[] => [...armed].map(({ delayMs }) => delayMs);
  return { done, said, clock, cwd, waits, interrupt: () => signals.get("SIGINT")?.() };
}

/** Runs a command to its end. */
export async function runAgainst(t: TestContext, address: string, args: readonly string[], options: RunOptions = {}) {
  const { done, said, cwd } = await startCommand(t, address, args, options);
  const code = await done;
  return { code, ...said, cwd };
}

/** Runs a command to its end against an admin API that gives these answers. */
export async function run(t: TestContext, answers: Answers, args: readonly string[], options: RunOptions = {}) {
  const { asked, address } = await fakeAdmin(t, answers);
  return { asked, address, ...(await runAgainst(t, address, args, options)) };
}
