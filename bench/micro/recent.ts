/** What remembering a request costs an exchange. `node bench/micro/recent.ts [--json]` */
import type { Match } from "@headgate/schema";
import { ExchangeRequest } from "../../packages/gateway/src/proxy/exchange.ts";
import { parseRequestHead } from "../../packages/gateway/src/proxy/http1/parse-head.ts";
import { LookedAt } from "../../packages/gateway/src/proxy/looked-at.ts";
import { Recent } from "../../packages/gateway/src/proxy/recent.ts";
import { clientOf } from "../../packages/gateway/src/proxy/router/router.fixtures.ts";
import { normalizeTarget } from "../../packages/gateway/src/proxy/router/normalize.ts";
import { measure, report } from "./measure.ts";

const limits = { headBytes: 32 * 1024, headers: 100, uriBytes: 8 * 1024 };

function requestOf(target: string): ExchangeRequest {
  const lines = [
    `GET ${target} HTTP/1.1`,
    "Host: api.example.com",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept: application/json, text/plain, */*",
    "X-Team: blue",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1",
  ];
  const bytes = Buffer.from([...lines, "\r\n"].join("\r\n"));
  const head = parseRequestHead(bytes, 0, bytes.length, limits);
  const normalized = head === undefined ? undefined : normalizeTarget(head.target);
  if (head === undefined || normalized === undefined) throw new Error("this is no request");
  const { method, host, fields: headers, framing, contentLength } = head;
  return new ExchangeRequest({ method, target: head.target, host, headers, ...normalized, framing, contentLength });
}

/** The same request is remembered again and again: the work does not depend on what it is. */
function noteOf(target: string, match: Match = {}): () => unknown {
  const lookedAt = new LookedAt();
  lookedAt.replace(undefined, { match: [match], use: [] });
  const recent = new Recent(5_000);
  const request = requestOf(target);
  const client = clientOf();
  return () => recent.note(request, client, 1_763_827_200_000, lookedAt);
}

const usual = "/api/users/42/orders?page=3&sort=-created";
report("Remembering a request", [
  measure("nothing else is looked at", noteOf(usual)),
  measure("a short path", noteOf("/")),
  measure("a target of 400 characters", noteOf(`/${"x".repeat(400)}`)),
  measure("a header is looked at", noteOf(usual, { headers: { "x-team": { equals: "blue" } } })),
  measure("a cookie is looked at", noteOf(usual, { cookies: { theme: { equals: "dark" } } })),
  measure("the client is looked at", noteOf(usual, { clients: ["10.0.0.0/8"] })),
]);
