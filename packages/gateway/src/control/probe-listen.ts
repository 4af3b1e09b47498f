import { createServer, type AddressInfo } from "node:net";
import type { GatewaySettings } from "@headgate/schema";

/** Whether several sockets of this process can listen on one port: Linux, and a few more. */
export async function canReusePort(): Promise<boolean> {
  try {
    await tryListen({ host: "127.0.0.1", port: 0, reusePort: true });
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes sure that nobody else listens on the addresses, and picks a port where 0 is asked for. Workers share their
 * ports, and would share them with another gateway of the same user as well: half of the requests would go there.
 * Throws an Error with one sentence.
 */
export async function claimAddresses(listen: GatewaySettings["listen"]): Promise<GatewaySettings["listen"]> {
  const claimed: { address: string }[] = [];
  for (const entry of listen) {
    const at = entry.address.lastIndexOf(":");
    const written = entry.address.slice(0, at);
    const host = written.replace(/^\[|\]$/g, "");
    try {
      const port = await tryListen({ host, port: Number(entry.address.slice(at + 1)) });
      claimed.push({ ...entry, address: `${written}:${port}` });
    } catch (error) {
      throw new Error(describeListenError(entry.address, error), { cause: error });
    }
  }
  return claimed;
}

/** One sentence and a way out. */
export function describeListenError(address: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "EADDRINUSE") return `${address} is taken by another process; end it or choose another address.`;
  if (code === "EACCES") return `${address} may not be used by this user; choose a port above 1023 or give the right.`;
  if (code === "EADDRNOTAVAIL") return `${address} is no address of this machine; choose one of its own or 0.0.0.0.`;
  return `${address} cannot be used: ${error instanceof Error ? error.message : String(error)}.`;
}

function tryListen(options: { host: string; port: number; reusePort?: boolean }): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ ...options, exclusive: true }, () => {
      const { port } = server.address() as AddressInfo; // A TCP server's address is one once it listens.
      server.close(() => resolve(port));
    });
  });
}
