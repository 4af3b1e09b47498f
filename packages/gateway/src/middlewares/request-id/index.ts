import { z } from "zod";
import { errorWithFields, isFieldName, wireFieldReason } from "../../core/field-rules.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

/** Longest id taken over from a client, in characters: it is repeated in every log line. */
const idCharsMax = 128;
const visible = /^[\x21-\x7e]+$/;

const settings = z.strictObject({
  header: z
    .string()
    .refine(isFieldName, "expected the name of a header")
    .refine(
      (name) => wireFieldReason(name) === undefined && name.toLowerCase() !== "host",
      "this header cannot carry an id",
    )
    .default("x-request-id"),
  trust: z.boolean().default(false),
});

/**
 * Names the exchange: one id in the log, in error answers, in the request to the instance and in the answer. Runs once
 * per exchange.
 */
export default defineMiddleware({
  name: "request-id",
  config: settings,
  build({ header, trust }) {
    return async function requestId(exchange, next) {
      const { headers } = exchange.request;
      if (trust) {
        const sent = headers.getAll(header);
        // Two ids would be a choice between them, and the instance might choose the other.
        const [first = ""] = sent;
        if (sent.length === 1 && first.length <= idCharsMax && visible.test(first)) exchange.id = first;
      }
      const { id } = exchange;
      headers.set(header, id);
      try {
        await next();
      } catch (error) {
        throw errorWithFields(error, { [header]: id });
      }
      exchange.response.headers.set(header, id);
    };
  },
});
