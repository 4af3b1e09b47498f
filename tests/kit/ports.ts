import { once } from "node:events";
import net from "node:net";

/**
 * A free TCP port of 127.0.0.1 for a process that cannot say which one it took. Chosen below the kernel's ephemeral
 * range, so that no outgoing connection of a parallel test takes it in between.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    if (await canListen(port)) return port;
  }
  throw new Error("no free port found in 200 tries");
}

/** A port that refuses connections: it was free a moment ago and nobody listens there. */
export const deadPort = freePort;

async function canListen(port: number): Promise<boolean> {
  const server = net.createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** The port a listening server has. */
export function portOf(server: net.Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not listen on a TCP port");
  return address.port;
}
