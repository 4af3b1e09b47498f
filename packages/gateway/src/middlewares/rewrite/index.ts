import { z } from "zod";
import { dropSegments, joinPaths, toWireText } from "../../core/paths.ts";
import { compileHost, compilePath, safePath } from "../../core/target-template.ts";
import type { Exchange } from "../../proxy/exchange.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

/** Longest pattern, in characters: a longer one is a program, and belongs into a middleware of its own. */
const regexLengthMax = 1024;

const settings = z
  .strictObject({
    path: z.string().optional(),
    prefix: z.string().optional(),
    host: z.string().optional(),
    regex: z.string().max(regexLengthMax).optional(),
    to: z.string().optional(),
  })
  .superRefine((value, context) => {
    const fail = (message: string): void => context.addIssue({ code: "custom", message });
    const ways = [value.path, value.prefix, value.regex].filter((way) => way !== undefined).length;
    if (ways > 1) fail('"path", "prefix" and "regex" exclude each other');
    if (ways === 0 && value.host === undefined)
      fail('rewrites nothing: give "path", "prefix", "regex" with "to", or "host"');
    if ((value.regex === undefined) !== (value.to === undefined)) fail('"regex" and "to" belong together');
  });

type Settings = z.output<typeof settings>;
type PathRewrite = (exchange: Exchange) => string;

/** Changes path and host of what is sent on; the query stays. Runs once per exchange. */
export default defineMiddleware({
  name: "rewrite",
  config: z.preprocess((input) => (typeof input === "string" ? { path: input } : input), settings),
  build(options) {
    const path = pathRewrite(options);
    const host = options.host === undefined ? undefined : compileHost(options.host);
    return function rewrite(exchange, next) {
      // Both from the request as it came to this step, so that neither sees the other's result.
      const newPath = path?.(exchange);
      if (host !== undefined) exchange.request.headers.set("host", host(exchange));
      if (newPath !== undefined) exchange.request.path = newPath;
      return next();
    };
  },
});

function pathRewrite({ path, prefix, regex, to }: Settings): PathRewrite | undefined {
  if (path !== undefined) return compilePath(path);
  if (prefix !== undefined) {
    const front = compilePath(prefix);
    return (exchange) => joinPaths(front(exchange), dropSegments(exchange.request.path, exchange.match.prefixSegments));
  }
  if (regex === undefined || to === undefined) return undefined;
  return regexRewrite(regex, to);
}

/** Replaces the first match; a path without one stays. */
function regexRewrite(regex: string, to: string): PathRewrite {
  const pattern = new RegExp(regex);
  if (to.includes("${")) throw new Error('"to" takes $1 to $9 and $<name>; variables belong to "path"');
  if (/[?#]/.test(to)) throw new Error('"to" must not hold a query or a fragment');
  const replacement = toWireText(to);
  return ({ request }) =>
    pattern.test(request.path) ? safePath(request.path.replace(pattern, replacement)) : request.path;
}
