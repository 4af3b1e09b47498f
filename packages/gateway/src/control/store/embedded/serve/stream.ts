import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Log } from "../../../../core/log.ts";
import { refusalOf } from "./context.ts";

/**
 * Reads the messages of a call one after the other: the next is read when `take` is done with the one before, so that
 * a client that asks without reading the answers is not read any further. `over` runs once, however the call ends.
 */
export function readCall<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
  log: Log,
  take: (message: Request) => Promise<void>,
  over: () => void = () => undefined,
): void {
  call.on("data", (message: Request) => {
    call.pause();
    take(message).then(
      () => call.resume(),
      (error: unknown) => fail(call, error, log),
    );
  });
  // Without a listener an error of the transport would end the process; `close` follows it.
  call.on("error", () => undefined);
  call.on("close", over);
}

/** Ends a call with an error. */
export function fail<Request, Response>(call: ServerDuplexStream<Request, Response>, error: unknown, log: Log): void {
  if (call.destroyed || call.writableEnded) return;
  call.emit("error", refusalOf(error, call.getPath(), log));
}

/** Writes a message; resolves when the next may be written, or the call is over. */
export function sendAndWait<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
  message: Response,
): Promise<void> {
  if (call.destroyed || call.writableEnded || call.write(message)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      call.off("drain", done);
      call.off("close", done);
      resolve();
    };
    call.on("drain", done);
    call.on("close", done);
  });
}
