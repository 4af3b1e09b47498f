import { z } from "zod";
import { isFieldName, wireFieldReason } from "../../core/field-rules.ts";
import type { Answer } from "../../proxy/exchange.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

const settings = z.strictObject({
  status: z.int().min(200).max(599).default(200),
  headers: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String))
    .superRefine((headers, context) => {
      for (const name of Object.keys(headers)) {
        const reason = isFieldName(name) ? wireFieldReason(name) : "it is not a valid header name";
        if (reason === undefined) continue;
        context.addIssue({ code: "custom", path: [name], message: `header "${name}" cannot be set: ${reason}` });
      }
    })
    .prefault({}),
  body: z.string().default(""),
});

/** Statuses whose answers have no body (RFC 9110 §15.3.5, §15.3.6, §15.4.5). */
const bodiless = [204, 205, 304];

/** Answers from the gateway; nothing behind it in the chain runs. */
export default defineMiddleware({
  name: "respond",
  config: z.preprocess((input) => (typeof input === "string" ? { body: input } : input), settings),
  build({ status, headers, body }) {
    if (body !== "" && bodiless.includes(status)) throw new Error(`an answer with status ${status} has no body`);
    const typed = body === "" || Object.keys(headers).some((name) => name.toLowerCase() === "content-type");
    // Encoded once; every exchange sends the same bytes.
    const answer: Answer = {
      status,
      headers: typed ? headers : { ...headers, "content-type": "text/plain; charset=utf-8" },
      body: new TextEncoder().encode(body),
    };
    return function respond(exchange) {
      exchange.respond(answer);
    };
  },
});
