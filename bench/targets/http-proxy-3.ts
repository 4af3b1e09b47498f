/** http-proxy-3 with a keep-alive agent. Usage: http-proxy-3.ts PORT UPSTREAM_PORT. */
import http from "node:http";
import { createProxyServer } from "http-proxy-3";

const [port, upstreamPort] = process.argv.slice(2).map(Number);
if (port === undefined || upstreamPort === undefined) throw new Error("usage: http-proxy-3.ts PORT UPSTREAM_PORT");

const proxy = createProxyServer({
  target: `http://127.0.0.1:${upstreamPort}`,
  agent: new http.Agent({ keepAlive: true, maxSockets: 256 }),
  xfwd: true,
});
proxy.on("error", (_error, _request, response) => response.destroy());
const server = http.createServer((request, response) => proxy.web(request, response));
server.keepAliveTimeout = 600_000;
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
