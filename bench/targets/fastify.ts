/** @fastify/http-proxy as its README sets it up. Usage: fastify.ts PORT UPSTREAM_PORT. */
import proxy from "@fastify/http-proxy";
import Fastify from "fastify";

const [port, upstreamPort] = process.argv.slice(2).map(Number);
if (port === undefined || upstreamPort === undefined) throw new Error("usage: fastify.ts PORT UPSTREAM_PORT");

const app = Fastify({ logger: false, bodyLimit: Number.MAX_SAFE_INTEGER, keepAliveTimeout: 600_000 });
// Its undici pool keeps connections alive by itself; 256 is what the other proxies here may use.
await app.register(proxy, {
  upstream: `http://127.0.0.1:${upstreamPort}`,
  undici: { connections: 256, pipelining: 1 },
});
await app.listen({ host: "127.0.0.1", port, backlog: 4096 });
