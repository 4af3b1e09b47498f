import { z } from "zod";
import { dropSegments, encodeQuery, encodeQueryValue, joinPaths, toWireText } from "../../core/paths.ts";
import { compileHost, compilePath } from "../../core/target-template.ts";
import { compileTemplate } from "../../core/template.ts";
import type { Exchange } from "../../proxy/exchange.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

const settings = z
  .strictObject({
    scheme: z.enum(["http", "https"]).optional(),
    host: z.string().optional(),
    port: z.int().min(1).max(65_535).optional(),
    path: z.string().optional(),
    prefix: z.string().optional(),
    location: z.string().optional(),
    status: z.literal([301, 302, 303, 307, 308]).default(302),
  })
  .superRefine(({ location, status: _status, ...parts }, context) => {
    const fail = (message: string): void => context.addIssue({ code: "custom", message });
    const given = Object.values(parts).some((part) => part !== undefined);
    if (parts.path !== undefined && parts.prefix !== undefined) fail('"path" and "prefix" exclude each other');
    if (location !== undefined && given) fail('"location" is the whole location; it goes with "status" only');
    if (location === undefined && !given) {
      fail('redirects to itself: give "location", or at least one of "scheme", "host", "port", "path" and "prefix"');
    }
  });

/** Answers with another location instead of asking an instance. Runs once per exchange. */
export default defineMiddleware({
  name: "redirect",
  config: z.preprocess((input) => (typeof input === "string" ? { location: input } : input), settings),
  build(options) {
    const { location: text, status } = options;
    const target = text === undefined ? targetOfParts(options) : targetOfText(text);
    return function redirect(exchange, next) {
      const location = locate(exchange, target);
      // Already there: `{ scheme: https }` in front of a whole site would otherwise redirect without end.
      if (location === undefined) return next();
      exchange.respond({ status, headers: { location } });
    };
  },
});

type Part = (exchange: Exchange) => string;

/** What is undefined comes from the request. */
interface Target {
  readonly scheme?: "http" | "https" | undefined;
  /** `host` or `host:port`. */
  readonly host?: Part | undefined;
  readonly port?: number | undefined;
  readonly path?: Part | undefined;
  /** With its `?`. */
  readonly search?: Part | undefined;
  /** With its `#`, or empty. */
  readonly hash: string;
  /** Written as one text rather than as parts. */
  readonly inText: boolean;
}

function targetOfParts({ scheme, host, port, path, prefix }: z.output<typeof settings>): Target {
  if (host !== undefined && port !== undefined && /:[0-9]+$/.test(host)) throw new Error("the port is given twice");
  const front = prefix === undefined ? undefined : compilePath(prefix);
  const behindPrefix: Part | undefined =
    front === undefined
      ? undefined
      : (exchange) => joinPaths(front(exchange), dropSegments(exchange.request.path, exchange.match.prefixSegments));
  return {
    scheme,
    host: host === undefined ? undefined : compileHost(host),
    port,
    path: path === undefined ? behindPrefix : compilePath(path),
    hash: "",
    inText: false,
  };
}

const locationParts =
  /^(?:(https?|\$\{request\.scheme\}):\/\/((?:(?!\$\{request\.path\})[^/?#])+))?([^?#]*)(\?[^#]*)?(#.*)?$/;

function targetOfText(text: string): Target {
  const [, scheme, host, path = "", search, hash = ""] = locationParts.exec(text) ?? [];
  if (host === undefined && !path.startsWith("/") && !path.startsWith("${request.path}")) {
    throw new Error(`location "${text}" must start with / or with http:// or https://`);
  }
  return {
    scheme: scheme === "http" || scheme === "https" ? scheme : undefined,
    host: host === undefined ? undefined : compileHost(host),
    path: compilePath(path === "" ? "/" : path),
    search: search === undefined ? undefined : compileTemplate(encodeLiterals(search), { encode: encodeQueryValue }),
    hash: encodeQuery(toWireText(hash)).replace(/^%23/, "#"),
    inText: true,
  };
}

/** Encodes the text around variables. */
function encodeLiterals(text: string): string {
  return text
    .split(/(\$\{[^}]*\})/)
    .map((piece) => (piece.startsWith("${") ? piece : encodeQuery(toWireText(piece))))
    .join("");
}

/** The Location field, or undefined where it is the request's own. */
function locate(exchange: Exchange, target: Target): string | undefined {
  const { request } = exchange;
  const ownScheme = exchange.client.scheme;
  const own = splitHost(request.headers.get("host") ?? request.host);
  const scheme = target.scheme ?? ownScheme;
  const given = target.host === undefined ? undefined : splitHost(target.host(exchange));
  const host = given?.host ?? own.host;
  const named = target.port?.toString() ?? given?.port ?? "";
  const port = named === "" ? inheritedPort(own.port, target, ownScheme) : named;
  const path = target.path?.(exchange) ?? request.path;
  const search = target.search?.(exchange) ?? request.search;

  const authority = host + portSuffix(port, scheme);
  const elsewhere =
    scheme !== ownScheme || authority.toLowerCase() !== (own.host + portSuffix(own.port, ownScheme)).toLowerCase();
  if (!elsewhere && path === request.path && search === request.search) return undefined;
  // Without a word on scheme, host or port a relative location is the one that is right behind any other proxy.
  const relative = target.scheme === undefined && target.host === undefined && target.port === undefined;
  return (relative ? "" : `${scheme}://${authority}`) + path.replace(/^\/+/, "/") + search + target.hash;
}

/** The port the client used is right for its own scheme only, and a host in text says all there is to say. */
function inheritedPort(ownPort: string, { scheme, host, inText }: Target, ownScheme: string): string {
  if (inText && host !== undefined) return "";
  return scheme === undefined || (scheme === ownScheme && host === undefined) ? ownPort : "";
}

function portSuffix(port: string, scheme: "http" | "https"): string {
  return port === "" || port === (scheme === "http" ? "80" : "443") ? "" : `:${port}`;
}

function splitHost(text: string): { readonly host: string; readonly port: string } {
  const [, host = text, port = ""] = /^(.*?)(?::([0-9]+))?$/.exec(text) ?? [];
  return { host, port };
}
