/**
 * Reads and forgets request bodies, answers 204 behind each. Usage: sink.ts PORT. Knows just enough HTTP for the
 * proxies under test: one request at a time, a declared length or chunks.
 */
import { createServer } from "node:net";
import type { Socket } from "node:net";

const answer = "HTTP/1.1 204 No Content\r\n\r\n";
const lastChunk = "0\r\n\r\n";
const port = Number(process.argv[2]);

createServer({ noDelay: true }, serve).listen({ port, host: "127.0.0.1", backlog: 4096 });

function serve(socket: Socket): void {
  let head = "";
  let bytesLeft = 0;
  let chunked = false;
  let tail = "";
  const endOfHead = (chunk: Buffer): Buffer | undefined => {
    const text = head + chunk.latin1Slice();
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      head = text;
      return undefined;
    }
    const rest = chunk.subarray(end + 4 - head.length);
    head = "";
    bytesLeft = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1] ?? 0);
    chunked = /\r\ntransfer-encoding: *chunked/i.test(text.slice(0, end));
    tail = "";
    if (/\r\nexpect: *100-continue/i.test(text.slice(0, end))) socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    return rest;
  };
  let inBody = false;
  socket.on("data", (chunk: Buffer) => {
    let body: Buffer = chunk;
    if (!inBody) {
      const rest = endOfHead(chunk);
      if (rest === undefined) return;
      body = rest;
      inBody = true;
    }
    bytesLeft -= body.length;
    if (chunked) tail = (tail + body.subarray(-lastChunk.length).latin1Slice()).slice(-lastChunk.length);
    if (chunked ? tail !== lastChunk : bytesLeft > 0) return;
    inBody = false;
    socket.write(answer);
  });
  socket.on("error", () => socket.destroy());
}
