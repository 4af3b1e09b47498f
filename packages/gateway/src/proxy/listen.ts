import net from "node:net";
import { splitAddress } from "./upstream/instance.ts";

/** Accepted connections waiting for us in the kernel; also limited by net.core.somaxconn. */
const backlog = 4096;

/** A listening socket. */
export interface Listener {
  readonly address: string;
  readonly port: number;
  /** Stops accepting; connections live on. */
  close(): void;
}

/**
 * Listens on `host:port`. `reusePort`: several threads listen on the same port and the kernel spreads connections over
 * them (Linux). Rejects where the address cannot be had.
 */
export function listen(
  address: string,
  reusePort: boolean,
  onConnection: (socket: net.Socket) => void,
): Promise<Listener> {
  const { host, port } = splitAddress(address);
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.on("connection", onConnection);
    server.listen({ host: host === "" ? undefined : host, port, reusePort, backlog }, () => {
      server.off("error", reject);
      // Accept failures (no file descriptors left, say) come here; the listener lives on.
      server.on("error", () => {});
      const bound = server.address();
      const actual = typeof bound === "object" && bound !== null ? bound.port : port;
      resolve({
        address: `${host.includes(":") ? `[${host}]` : host}:${actual}`,
        port: actual,
        close: () => server.close(),
      });
    });
  });
}
