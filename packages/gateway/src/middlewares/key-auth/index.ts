import { z } from "zod";
import { GatewayError } from "../../core/errors.ts";
import { isFieldName } from "../../core/field-rules.ts";
import { isSecretName, markSecret } from "../../core/secrets.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

const settings = z.strictObject({
  header: z.string().refine(isFieldName, "expected the name of a header").default("x-api-key"),
  query: z.string().min(1).optional(),
  hide: z.boolean().default(true),
});

/**
 * Lets in the consumers that present one of their keys, and names them for later steps. Runs once per exchange; ends in
 * HG_UNAUTHENTICATED. The directory compares digests, so that the time taken tells nothing about a key.
 */
export default defineMiddleware({
  name: "key-auth",
  config: settings,
  authenticates: true,
  build({ header, query, hide }) {
    const refusal = (detail: string): GatewayError =>
      // RFC 9110 §15.5.2 asks for a challenge; there is no registered scheme for keys.
      new GatewayError("HG_UNAUTHENTICATED", { detail, headers: { "www-authenticate": 'Key realm="headgate"' } });
    const marks = [header, ...(query === undefined ? [] : [query])].filter((name) => !isSecretName(name));
    return function keyAuth(exchange, next) {
      const { request } = exchange;
      for (const name of marks) markSecret(exchange, name);
      const sent = request.headers.getAll(header);
      // Otherwise the instance might act on the one that was not checked.
      if (sent.length > 1) throw refusal(`The header ${header} came more than once.`);
      const key = sent[0] ?? (query === undefined ? undefined : request.queryParam(query));
      if (key === undefined || key === "") throw refusal("An API key is needed.");
      const consumer = exchange.consumers.byKey(key);
      if (consumer === undefined) throw refusal("The API key is not valid.");
      exchange.consumer = consumer;
      if (hide) {
        request.headers.delete(header);
        if (query !== undefined) request.search = withoutParam(request.search, query);
      }
      return next();
    };
  },
});

/** The query without every parameter of that name; the others stay as they were spelled. */
function withoutParam(search: string, name: string): string {
  if (search === "" || search === "?") return search;
  const kept = search
    .slice(1)
    .split("&")
    .filter((pair) => !new URLSearchParams(pair).has(name));
  return kept.length === 0 ? "" : `?${kept.join("&")}`;
}
