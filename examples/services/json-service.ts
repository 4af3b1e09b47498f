import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Which instance answered, and as which request: what a gateway in front changes from answer to answer. */
export interface ServedBy {
  readonly servedBy: string;
  readonly requestId: string;
}

/** A server that answers each path with JSON, or 404 where `answer` returns undefined. */
export function jsonService(answer: (path: string, server: ServedBy) => object | undefined): Server {
  return createServer((request, response) => {
    const { address, port } = request.socket.address() as AddressInfo; // a connected TCP socket has one
    const requestId = String(request.headers["x-request-id"] ?? "");
    const path = new URL(request.url ?? "/", "http://service").pathname;
    const body = answer(path, { servedBy: `${address}:${port}`, requestId });
    response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(`${JSON.stringify(body ?? { error: `nothing at ${path}` })}\n`);
  });
}

/** Listens on 127.0.0.1; port 0 takes a free one. Resolves with `host:port`. */
export function listen(server: Server, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address() as AddressInfo; // listening on TCP
      resolve(`127.0.0.1:${address.port}`);
    });
  });
}

/** Serves on $PORT when the module is the program rather than an import. */
export async function serveIfMain(module: ImportMeta, service: () => Server, defaultPort: number): Promise<void> {
  if (!module.main) return;
  const address = await listen(service(), Number(process.env["PORT"] ?? defaultPort));
  console.log(`listening on http://${address}`);
}
