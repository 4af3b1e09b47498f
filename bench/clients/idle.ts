/**
 * Opens COUNT connections to 127.0.0.1:PORT, sends one request on each, reads the answer and then only holds them.
 * Usage: idle.ts PORT COUNT. Prints "open N" once, and "closed N" whenever the other side closed one.
 */
import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";

const port = Number(process.argv[2]);
const count = Number(process.argv[3]);
const batchMax = 100; // below any listen backlog
const request = `GET / HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`;
const open = new Set<Socket>();

for (let from = 0; from < count; from += batchMax) {
  await Promise.all(Array.from({ length: Math.min(batchMax, count - from) }, openOne));
}
console.log(`open ${open.size}`);

async function openOne(): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => socket.destroy());
  await once(socket, "connect");
  socket.write(request);
  const [answer]: unknown[] = await once(socket, "data");
  if (!String(answer).startsWith("HTTP/1.1 200")) throw new Error(`not answered: ${String(answer).slice(0, 100)}`);
  open.add(socket);
  socket.once("close", () => {
    open.delete(socket);
    console.log(`closed ${count - open.size}`);
  });
}
