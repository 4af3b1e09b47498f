import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";

export interface Transfer {
  readonly bytes: number;
  readonly seconds: number;
}

const pieceBytes = 256 * 1024;
const stalledMs = 20_000;

/** Fetches `path` and forgets it. Rejects unless the answer is a whole 200 with a Content-Length. */
export async function download(port: number, path: string): Promise<Transfer> {
  const startedMs = performance.now();
  const socket = open(port);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: close\r\n\r\n`);
  let head = "";
  let bytes = 0;
  let expected = NaN;
  // A socket without an encoding yields Buffers.
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (Number.isNaN(expected)) {
      head += chunk.latin1Slice();
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) continue;
      if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(`not a 200: ${head.slice(0, 100)}`);
      expected = Number(/\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end))?.[1] ?? 0);
      bytes = head.length - end - 4;
    }
    // Not every proxy closes when asked to: the length decides. Leaving the loop destroys the socket.
    if (bytes >= expected) break;
  }
  if (bytes !== expected) throw new Error(`${bytes} bytes came of ${expected}`);
  return { bytes, seconds: (performance.now() - startedMs) / 1000 };
}

/** Sends `bytes` zeros with a Content-Length. Ends when the answer is there; rejects unless it is a 2xx. */
export async function upload(port: number, path: string, bytes: number): Promise<Transfer> {
  const startedMs = performance.now();
  const socket = open(port);
  const closed = new AbortController();
  socket.once("close", () => closed.abort());
  const answered = once(socket, "data", { signal: closed.signal });
  // Awaited below; an answer that never comes must not be an unhandled rejection while the body is being sent.
  answered.catch(() => undefined);
  const target = `127.0.0.1:${port}`;
  socket.write(`POST ${path} HTTP/1.1\r\nhost: ${target}\r\nconnection: close\r\ncontent-length: ${bytes}\r\n\r\n`);
  const piece = Buffer.alloc(pieceBytes);
  for (let left = bytes; left > 0; left -= pieceBytes) {
    // An answer in the middle of the body is a refusal, and a closed socket never drains.
    if (!socket.write(left >= pieceBytes ? piece : piece.subarray(0, left))) {
      await Promise.race([once(socket, "drain"), answered]);
    }
    if (socket.bytesRead > 0) break;
  }
  const [answer]: unknown[] = await answered;
  socket.destroy();
  if (!/^HTTP\/1\.1 2/.test(String(answer))) throw new Error(`not taken: ${String(answer).slice(0, 100)}`);
  return { bytes, seconds: (performance.now() - startedMs) / 1000 };
}

function open(port: number): Socket {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.setTimeout(stalledMs, () => socket.destroy(new Error(`nothing moved for ${stalledMs / 1000} s`)));
  return socket;
}
