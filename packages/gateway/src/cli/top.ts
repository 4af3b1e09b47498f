import type { Command } from "commander";
import {
  adminCommand,
  durationMs,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
  type Screen,
} from "./admin-command.ts";
import { CommandError, RefusedError } from "./command-error.ts";
import { printable } from "./output.ts";
import { UsageError } from "./settings.ts";
import type { StatusAnswer } from "./status.ts";
import { frameLines, type Frame } from "./top-frame.ts";
import { ratesBetween, readTraffic, type Reading } from "./traffic.ts";

interface TopFlags extends CommonFlags {
  readonly interval: string;
  readonly once?: boolean;
}

/** Adds `top`. `exit` is given the exit code when the command is done. */
export function topCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  adminCommand(program, "top", "show requests, errors and gateways as they are now; q ends it", [
    "",
    "--once",
    "--interval 5s",
  ])
    .option("--interval <duration>", "how often", "1s")
    .option("--once", "print it once and end")
    .action(async (flags: TopFlags) => exit(await runCommand(flags, io, (context) => top(flags, context))));
}

/** Asking more often costs the gateway a metrics page each time and shows nothing that eyes could follow. */
const intervalMsMin = 10;

/** 0 when it is ended. Rejects with a CommandError where the gateway cannot be reached at first, or refuses. */
async function top({ interval, once = false }: TopFlags, context: CommandContext): Promise<number> {
  const { io, format, paint } = context;
  if (format === "yaml") throw new UsageError("top prints frames: use -o json, or no -o.");
  const intervalMs = durationMs("--interval", interval);
  if (intervalMs < intervalMsMin)
    throw new UsageError(`--interval is "${interval}": give at least ${intervalMsMin}ms.`);
  let before = await read(context);
  const screen = once || format === "json" ? undefined : io.screen;
  const ending = new Ending(io, screen);
  const display = screen === undefined ? undefined : openDisplay(screen, io.stdout);
  try {
    for (;;) {
      await ending.pause(intervalMs);
      if (ending.ended) return 0;
      const frame = await frameAfter(before, context);
      if (ending.ended) return 0;
      const { reading, status } = frame;
      if (reading !== undefined) before = { reading, status };
      if (format === "json") io.stdout(`${JSON.stringify(jsonOf(frame))}\n`);
      else if (display !== undefined) display.show(frameLines(frame, paint, display.columns, display.rows));
      else io.stdout(`${frameLines(frame, paint, Infinity, Infinity).join("\n")}\n${once ? "" : "\n"}`);
      if (once) return reading === undefined ? 3 : 0;
    }
  } finally {
    display?.close();
    ending.close();
  }
}

interface TopFrame extends Frame {
  readonly atMs: number;
  /** Absent while the gateway cannot be reached. */
  readonly reading?: Reading;
}

interface Read {
  readonly reading: Reading;
  readonly status: StatusAnswer;
}

async function read({ client, io }: CommandContext): Promise<Read> {
  const [page, status] = await Promise.all([client.call({ path: "/metrics" }), client.json({ path: "/v1/status" })]);
  return {
    reading: readTraffic(printable(page.text), io.clock.now()),
    status: printable(status.value) as StatusAnswer, // what the admin API answers
  };
}

/** What is shown next; a gateway that is away for a while is part of what there is to see. */
async function frameAfter(before: Read, context: CommandContext): Promise<TopFrame> {
  const atMs = context.io.clock.wall();
  try {
    const now = await read(context);
    return { ...now, atMs, rates: ratesBetween(before.reading, now.reading), failure: undefined };
  } catch (error) {
    if (!(error instanceof CommandError) || (error instanceof RefusedError && error.status < 500)) throw error;
    return { atMs, status: before.status, rates: undefined, failure: error.message };
  }
}

function jsonOf({ atMs, rates, status, failure }: TopFrame): object {
  const time = new Date(atMs).toISOString();
  if (rates === undefined) return { time, failure };
  const { node, revision, nodes, problems } = status;
  return { time, node, revision, ...rates, nodes, problems };
}

/** Draws frames over one another on the terminal's other page, and gives the first back. */
function openDisplay(screen: Screen, write: (text: string) => void) {
  // The other page, without a cursor.
  write("\u001b[?1049h\u001b[?25l");
  return {
    get columns() {
      return screen.columns();
    },
    get rows() {
      return screen.rows();
    },
    show(lines: readonly string[]): void {
      // Line over line, so that nothing flickers: home, each line to its end, then what is left below.
      write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\r\n")}\u001b[J`);
    },
    close(): void {
      write("\u001b[?25h\u001b[?1049l");
    },
  };
}

/** Waits that an interrupt, or q on a terminal, cut short. */
class Ending {
  ended = false;
  readonly #timers: CommandSurroundings["timers"];
  readonly #stopKeys: () => void;
  #wake: () => void = () => undefined;

  constructor({ timers, onSignal }: CommandSurroundings, screen: Screen | undefined) {
    this.#timers = timers;
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    for (const signal of ["SIGINT", "SIGTERM"] as const) onSignal(signal, end);
    // While keys are heard one by one, Ctrl-C is a key.
    this.#stopKeys =
      screen?.keys?.((key) => ["q", "Q", "\u0003", "\u001b"].includes(key) && end()) ?? (() => undefined);
  }

  pause(delayMs: number): Promise<void> {
    if (this.ended) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#timers.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  close(): void {
    this.#stopKeys();
  }
}
