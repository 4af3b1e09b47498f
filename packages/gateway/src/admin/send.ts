import type { IncomingMessage, ServerResponse } from "node:http";
import type { AdminAnswer, OpenStream, StreamWriter } from "./endpoint.ts";
import { AdminError, problemAnswer } from "./problem.ts";

/** Streams that are open at the same time; 503 beyond. */
export const streamsMax = 100;
/** A body that nobody reads is let through up to here, so that its sender comes to read the answer. */
const discardBytesMax = 32 * 1024 * 1024;

/** How to end the streams that are open. */
export type OpenStreams = Set<() => void>;

/** Sends an answer; resolves when all of it was handed over, of a stream when it is open. */
export async function send(
  answer: AdminAnswer,
  request: IncomingMessage,
  response: ServerResponse,
  streams: OpenStreams,
): Promise<void> {
  const bare = request.method === "HEAD";
  response.setHeader("cache-control", "no-store");
  response.setHeader("x-content-type-options", "nosniff");
  // A body nobody read would be taken for the next request.
  if (!request.complete) response.setHeader("connection", "close");
  if ("open" in answer) {
    if (bare) response.writeHead(answer.status, { "content-type": answer.type }).end();
    else if (streams.size < streamsMax) openStream(answer, response, streams);
    else await send(noStream(), request, response, streams);
  } else if ("pieces" in answer) {
    response.writeHead(answer.status, { "content-type": answer.type });
    if (!bare) for await (const piece of answer.pieces) await write(response, piece);
    response.end();
  } else if ("json" in answer || "text" in answer) {
    const text = "json" in answer ? `${JSON.stringify(answer.json)}\n` : answer.text;
    const type = "json" in answer ? "application/json" : answer.type;
    const length = String(Buffer.byteLength(text));
    response.writeHead(answer.status, { "content-type": type, ...answer.headers, "content-length": length });
    response.end(bare ? undefined : text);
  } else {
    response.writeHead(answer.status, answer.headers).end();
  }
}

function noStream(): AdminAnswer {
  const detail = `${streamsMax} streams are open, which is the limit: end one, or try again later.`;
  return problemAnswer(new AdminError(503, detail, {}, { "retry-after": "10" }));
}

function openStream(
  answer: AdminAnswer & { readonly type: string; readonly open: (writer: StreamWriter) => OpenStream },
  response: ServerResponse,
  streams: OpenStreams,
): void {
  // Who is gone already would never be said to be gone.
  if (response.destroyed) return;
  response.writeHead(answer.status, { "content-type": answer.type });
  const end = (): void => void response.end();
  const stream = answer.open({
    write: (text) => response.writableEnded || response.destroyed || response.write(text),
    end,
    cut: () => void response.destroy(),
  });
  streams.add(end);
  response.on("drain", () => stream.drained());
  response.on("close", () => {
    streams.delete(end);
    stream.closed();
  });
}

/**
 * Takes and forgets what is still coming of a body, so that its sender reads the answer instead of an error of its
 * connection. `held`: the sender waits to be told to send it, and is not.
 */
export function discardBody(request: IncomingMessage, held: boolean): Promise<void> {
  if (held || request.complete || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let bytes = 0;
    const done = (): void => {
      request.off("data", count).off("end", done).off("close", done).pause();
      resolve();
    };
    const count = (piece: Buffer): void => {
      bytes += piece.length;
      if (bytes > discardBytesMax) done();
    };
    request.on("data", count).on("end", done).on("close", done).resume();
  });
}

function write(response: ServerResponse, text: string): Promise<void> {
  if (response.destroyed || response.write(text)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
