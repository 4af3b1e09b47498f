import { pino } from "pino";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface ApplicationLog extends Log {
  at(level: LogLevel, fields: object, message: string): void;
  /** Writes what waits, before the process ends. */
  flush(): void;
}

/** The application log as JSON lines to file descriptor 2. Written without waiting, so that a slow reader stops nobody. */
export function openJsonLog(): ApplicationLog {
  const destination = pino.destination({ dest: 2, sync: false, minLength: 0 });
  // A reader of the log that went away must not take the gateway with it.
  destination.on("error", () => {});
  const logger = pino(
    { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: named } },
    destination,
  );
  return logThrough(
    (level, fields, message) => logger[level](fields, message),
    () => {
      try {
        destination.flushSync();
      } catch {
        // It was not opened yet, or its reader is gone: there is nobody to tell.
      }
    },
  );
}

/** The application log for people: one line each, debug left out. */
export function openTerminalLog(write: (line: string) => void, clock: Clock, colours: boolean): ApplicationLog {
  return logThrough(
    (level, fields, message) => {
      if (level === "debug") return;
      const time = new Date(clock.wall()).toISOString().slice(11, 19);
      const shown = colours ? `${levelColours[level]}${level}\u001b[0m` : level;
      write(`${time} ${shown} ${oneLine(message)}${details(fields)}\n`);
    },
    () => {},
  );
}

const levelColours = { info: "\u001b[32m", warn: "\u001b[33m", error: "\u001b[31m" } as const;

function named(level: string): object {
  return { level };
}

function logThrough(at: ApplicationLog["at"], flush: () => void): ApplicationLog {
  return {
    at,
    flush,
    debug: (fields, message) => at("debug", fields, message),
    info: (fields, message) => at("info", fields, message),
    warn: (fields, message) => at("warn", fields, message),
    error: (fields, message) => at("error", fields, message),
  };
}

/** A message may quote what a client sent; on a terminal control characters would act. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
}

/** Only what an error says: the other fields repeat the message for machines. */
function details(fields: object): string {
  const error = "err" in fields ? fields.err : undefined;
  if (typeof error !== "object" || error === null || !("message" in error)) return "";
  return ` (${oneLine(String(error.message))})`;
}
