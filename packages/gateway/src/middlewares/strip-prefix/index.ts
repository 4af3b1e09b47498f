import { z } from "zod";
import { dropPrefix, dropSegments, segmentsOf } from "../../core/paths.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

const prefix = z
  .string()
  .startsWith("/", { error: "must start with /, as in /api" })
  .refine((text) => segmentsOf(text).length > 0, { error: "/ strips nothing; name at least one segment" })
  .refine((text) => !/[*?#]/.test(text), { error: "is literal text without patterns or a query" });

/** Takes segments off the front of the path that is sent on. Runs once per exchange. */
export default defineMiddleware({
  name: "strip-prefix",
  config: z.union([prefix, z.int().min(1).max(64)], {
    error: "expected a prefix such as /api, or a number of segments",
  }),
  build(what) {
    if (typeof what === "number") {
      return function stripSegments({ request }, next) {
        request.path = dropSegments(request.path, what);
        return next();
      };
    }
    const segments = segmentsOf(what);
    return function stripPrefix({ request }, next) {
      request.path = dropPrefix(request.path, segments) ?? request.path;
      return next();
    };
  },
});
