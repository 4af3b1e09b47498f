/** What a chain of four middlewares costs an exchange. `node bench/micro/chain.ts [--json]` */
import { compose } from "../../packages/gateway/src/proxy/compose.ts";
import { Exchange, ExchangeRequest } from "../../packages/gateway/src/proxy/exchange.ts";
import { Fields } from "../../packages/gateway/src/proxy/http1/fields.ts";
import type { Chain } from "../../packages/gateway/src/proxy/compose.ts";
import type { Middleware } from "../../packages/gateway/src/proxy/middleware.ts";
import { measureAsync, report } from "./measure.ts";

const headers = Fields.from({ host: "api.example.com", accept: "*/*" });
const client = { ip: "127.0.0.1", port: 40000, peer: "127.0.0.1", scheme: "http", localPort: 8080 } as const;
const answered = Promise.resolve();
const last: Chain = () => answered;

// Four functions of their own: one function four times would be inlined as no real chain is.
const returning: Middleware[] = [
  (exchange, next) => (exchange.request.bodyBytesMax === 0 ? undefined : next()),
  (exchange, next) => (exchange.request.method === "" ? undefined : next()),
  (exchange, next) => (exchange.client.ip === "" ? undefined : next()),
  (exchange, next) => (exchange.request.path === "" ? undefined : next()),
];
const awaiting: Middleware[] = [
  async (exchange, next) => {
    await next();
    exchange.response.status = 200;
  },
  async (exchange, next) => {
    await next();
    exchange.attempts = 1;
  },
  async (exchange, next) => {
    await next();
    exchange.requestBytes = 0;
  },
  async (exchange, next) => {
    await next();
    exchange.responseBytes = 157;
  },
];

function chainOf(middlewares: readonly Middleware[], conditional = false): Chain {
  const when = (exchange: Exchange): boolean => exchange.request.method === "GET";
  return compose(
    middlewares.map((handle) => ({ handle, when: conditional ? when : undefined })),
    last,
  );
}

function newExchange(): Exchange {
  const request = new ExchangeRequest({
    method: "GET",
    target: "/api/users/42",
    host: "api.example.com",
    headers,
    matchPath: "/api/users/42",
    path: "/api/users/42",
    search: "",
    framing: "none",
    contentLength: -1,
  });
  return new Exchange(request, client, () => "id");
}

function measureChain(name: string, chain: Chain): ReturnType<typeof measureAsync> {
  return measureAsync(name, () => chain(newExchange()));
}

report("Chains, with making the exchange", [
  await measureChain("no middleware", chainOf([])),
  await measureChain("four that return next()", chainOf(returning)),
  await measureChain("four that return next(), each with a condition", chainOf(returning, true)),
  await measureChain("four that await next()", chainOf(awaiting)),
]);
