import { bytes } from "@headgate/schema";
import { z } from "zod";
import { defineMiddleware } from "../../proxy/middleware.ts";

const settings = z.strictObject({ max: bytes().prefault("1MiB") });

/** Refuses request bodies that are too large with HG_BODY_TOO_LARGE. Runs once per exchange. */
export default defineMiddleware({
  name: "body-limit",
  config: z.preprocess(
    (input) => (typeof input === "string" || typeof input === "number" ? { max: input } : input),
    settings,
  ),
  build({ max }) {
    return function bodyLimit(exchange, next) {
      // Also counts while a body streams: a chunked one declares no length.
      exchange.request.limitBody(max);
      return next();
    };
  },
});
