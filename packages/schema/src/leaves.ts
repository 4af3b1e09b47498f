import { z } from "zod";
import { isIpv4, isIpv6, isNetwork } from "./network-syntax.ts";
import { didYouMean } from "./suggest.ts";
import { quote } from "./problems.ts";

/**
 * The small values of a document. Each check answers the reason why a value is refused, or undefined; what it answers
 * is the message of the problem.
 */
type Check = (value: string) => string | undefined;

/** Text that a check accepts. */
export function checkedText(check: Check) {
  return z.string().check((context) => {
    const message = check(context.value);
    if (message !== undefined) context.issues.push({ code: "custom", input: context.value, message });
  });
}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Names are keys in a store, parts of URLs and labels of metrics. */
export function nameProblem(name: string): string | undefined {
  if (namePattern.test(name)) return undefined;
  return `the name ${quote(name)} is not valid: expected 1 to 128 letters, digits, ".", "_" or "-", the first a letter or digit`;
}

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const knownMethods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];

/** A field name, RFC 9110 §5.1. */
export function headerNameProblem(name: string): string | undefined {
  return tokenPattern.test(name) ? undefined : `${quote(name)} is not a valid header name`;
}

/** A field value, RFC 9110 §5.5: nothing that could end the line. */
export function headerValueProblem(value: string): string | undefined {
  return /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value) ? "holds a control character or a line break" : undefined;
}

/** A method, RFC 9110 §9.1: case matters, and every registered one is upper case. */
export function methodProblem(method: string): string | undefined {
  if (tokenPattern.test(method) && method === method.toUpperCase()) return undefined;
  const meant = didYouMean(method.toUpperCase(), knownMethods) ?? method.toUpperCase();
  const way = tokenPattern.test(meant) ? `: methods are upper case, write ${quote(meant)}` : "";
  return `${quote(method)} is not a method${way}`;
}

/** `host:port`, `[IPv6]:port`, and `:port` for every IPv4 address. */
export function addressProblem(address: string, portMin: 0 | 1, hostNeeded: boolean): string | undefined {
  const parts = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(address);
  const expected = `${quote(address)} is not an address: expected host:port, IPv6 hosts in brackets`;
  if (parts === null) return expected;
  const [, host = "", digits = ""] = parts;
  const port = Number(digits);
  if (port > 65535 || port < portMin) return `port ${digits} is out of range: expected ${portMin} to 65535`;
  if (host === "") return hostNeeded ? expected : undefined;
  if (host.startsWith("[")) return isIpv6(host.slice(1, -1)) ? undefined : expected;
  if (/^[\d.]+$/.test(host)) return isIpv4(host) ? undefined : expected;
  return host.split(".").every(isLabel) && host.length <= 253 ? undefined : expected;
}

function isLabel(label: string): boolean {
  return /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label);
}

/** A host condition: a name, `*.` before a name, or a literal address. */
export function hostProblem(host: string): string | undefined {
  if (host === "*") return 'leave "hosts" out to take every host';
  if (host.startsWith("[")) return isIpv6(host.slice(1, -1)) && host.endsWith("]") ? undefined : notHost(host);
  if (host.includes("/") || host.includes("@")) return `${notHost(host)}: write the name alone, without scheme or path`;
  if (host.includes(":")) return `${notHost(host)}: write it without a port, every port is taken`;
  if (host.slice(1).includes("*") || (host.startsWith("*") && !host.startsWith("*."))) {
    return `${notHost(host)}: "*" may only stand for the first labels, as in "*.example.org"`;
  }
  // Not isLabel's job: the reader of an "ü" needs another answer than that of a stray character.
  if (/[^\u0000-\u007f]/.test(host)) return `${notHost(host)}: write it in its "xn--" form`;
  const name = host.startsWith("*.") ? host.slice(2) : host;
  return name.length <= 253 && name.split(".").every(isLabel) ? undefined : notHost(host);
}

function notHost(host: string): string {
  return `${quote(host)} is not a host`;
}

/** `/a`, `/a/*`, `/a/:id`, `/a/:id/*`: what the router can match, so that no spelling silently never matches. */
export function pathProblem(path: string): string | undefined {
  if (!path.startsWith("/")) return `the path must start with "/"`;
  if (path.length > 2048) return "the path must have at most 2048 characters";
  if (/[?#]/.test(path)) return `the path may not hold "?" or "#": conditions on the query stand under "query"`;
  const segments = path.slice(1).split("/");
  const names = new Set<string>();
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === "" && !last) return `the path may not hold "//"`;
    if (segment === "." || segment === "..")
      return `the path may not hold "." or ".." segments: they are resolved before matching`;
    if (segment.includes("*") && (segment !== "*" || !last))
      return `"*" may only be the whole last segment, as in "/a/*"`;
    if (segment.startsWith(":")) {
      const name = segment.slice(1);
      if (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name))
        return `${quote(segment)} is not a parameter: expected ":" and a name of letters, digits and "_"`;
      if (names.has(name)) return `the parameter ${quote(segment)} appears twice`;
      names.add(name);
    }
  }
  return pathSpellingProblem(path);
}

/**
 * Paths are matched with every character that may stand in a path decoded (RFC 3986 §3.3), `%2f` as a separator, and
 * the rest encoded in upper case: other spellings would never match.
 */
function pathSpellingProblem(path: string): string | undefined {
  // Most paths have none; with 100,000 routes looking for them is a twentieth of the validation.
  const sequences = path.includes("%") ? path.matchAll(/%.{0,2}/g) : [];
  for (const [sequence] of sequences) {
    if (!/^%[0-9A-Fa-f]{2}$/.test(sequence)) return `${quote(sequence)} is not a percent-encoding`;
    const character = String.fromCharCode(Number.parseInt(sequence.slice(1), 16));
    if (/[A-Za-z0-9\-._~!$&'()*+,;=:@/]/.test(character))
      return `write ${quote(character)} for ${quote(sequence)}: paths are matched decoded`;
    if (character === "\u0000" || character === "\\") return `${quote(sequence)} is refused in every request path`;
    if (sequence !== sequence.toUpperCase()) return `write ${quote(sequence.toUpperCase())} for ${quote(sequence)}`;
  }
  const odd = /[^!$&'()*+,\-./:;=@_~%0-9A-Za-z]/u.exec(path)?.[0];
  if (odd === undefined) return undefined;
  // encodeURIComponent throws on half a surrogate pair, which no request can hold either.
  const encoded = odd.isWellFormed() && !/[\u005c]/.test(odd) ? `: write it as ${quote(encodeURIComponent(odd))}` : "";
  return `the path may not hold ${quote(odd)}${encoded}`;
}

/** JavaScript's regular expressions, without flags. The length bounds what compiling costs. */
export function regexProblem(source: string): string | undefined {
  if (source.length > 1024) return "the regular expression must have at most 1024 characters";
  try {
    new RegExp(source);
    return undefined;
  } catch (error) {
    // The engine's message repeats the whole expression; only the reason behind it is told.
    const message = error instanceof Error ? error.message : "";
    const prefix = `Invalid regular expression: /${source}/: `;
    return `is not a regular expression${message.startsWith(prefix) ? `: ${message.slice(prefix.length)}` : ""}`;
  }
}

/** An address or a network in CIDR notation. */
export function networkProblem(network: string): string | undefined {
  return isNetwork(network) ? undefined : `${quote(network)} is not an address or network such as "10.0.0.0/8"`;
}

/** `http://host:port` of an etcd member, without a path. */
export function endpointProblem(endpoint: string): string | undefined {
  const expected = `${quote(endpoint)} is not an endpoint: expected http://host:port or https://host:port`;
  const parts = /^https?:\/\/([^/?#@]+)\/?$/.exec(endpoint);
  if (parts === null) return expected;
  return addressProblem(parts[1] ?? "", 1, true) === undefined ? undefined : expected;
}

/** What the keys of a store begin with. */
export function keyPrefixProblem(prefix: string): string | undefined {
  if (/^(\/[A-Za-z0-9._-]+)+\/?$/.test(prefix)) return undefined;
  return `${quote(prefix)} is not a prefix: expected a path such as "/headgate/"`;
}

/** The share of the requests that one of several takes: 0 none. */
export function weight() {
  return z.int().min(0).max(1_000_000).prefault(1);
}

/** A request target for a health check: a path, with a query if there is one. */
export function targetProblem(target: string): string | undefined {
  return /^\/[\x21-\x7e]{0,2047}$/.test(target) && !target.includes("#")
    ? undefined
    : `${quote(target)} is not a path such as "/healthz"`;
}

/** Where a Redis server is. */
export function redisUrlProblem(url: string): string | undefined {
  return /^rediss?:\/\//.test(url) && URL.canParse(url)
    ? undefined
    : `${quote(url)} is not an address such as "redis://127.0.0.1:6379"`;
}
