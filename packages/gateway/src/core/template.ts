import { didYouMean } from "@headgate/schema";
import { toWireText } from "./paths.ts";

/** What a template reads; an Exchange is one. */
export interface TemplateSource {
  readonly id: string;
  readonly routeName: string;
  readonly serviceName: string;
  readonly client: { readonly ip: string; readonly port: number; readonly scheme: string };
  readonly request: {
    readonly method: string;
    readonly host: string;
    readonly path: string;
    readonly headers: { get(name: string): string | undefined };
    queryParam(name: string): string | undefined;
    cookie(name: string): string | undefined;
  };
  readonly response: { readonly status: number };
  readonly match: { readonly params: Readonly<Record<string, string>> };
  readonly consumer: { readonly name: string } | undefined;
  readonly user: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Fills in the variables. The result is text for the wire (latin1 that carries UTF-8 bytes) without control characters;
 * a variable that is not there is empty. `status` stands in for the response's where the answer is an error.
 */
export type Template = (source: TemplateSource, status?: number) => string;

export interface TemplateOptions {
  /** Where it is filled in: `${response.status}` is refused on a request. Default `request`. */
  readonly on?: "request" | "response";
  /** Runs over each value put in, not over the text around it. Default: as it is. */
  readonly encode?: (value: string, variable: string) => string;
}

type Read = (source: TemplateSource, status: number) => string;

const single: Readonly<Record<string, Read>> = {
  "client.ip": (s) => s.client.ip,
  "client.port": (s) => String(s.client.port),
  route: (s) => s.routeName,
  service: (s) => s.serviceName,
  consumer: (s) => toWireText(s.consumer?.name ?? ""),
  "request.id": (s) => s.id,
  "request.method": (s) => s.request.method,
  "request.host": (s) => s.request.host,
  "request.path": (s) => s.request.path,
  "request.scheme": (s) => s.client.scheme,
  "response.status": (_, status) => (status === 0 ? "" : String(status)),
};

/** Families: the name behind the prefix is chosen by the author. Header and cookie values are wire text already. */
const families: Readonly<Record<string, (name: string) => Read>> = {
  "request.header.": (name) => (s) => s.request.headers.get(name) ?? "",
  "request.query.": (name) => (s) => toWireText(s.request.queryParam(name) ?? ""),
  "request.cookie.": (name) => (s) => s.request.cookie(name) ?? "",
  "param.": (name) => (s) => toWireText(Object.hasOwn(s.match.params, name) ? (s.match.params[name] ?? "") : ""),
  "user.": (name) => (s) => toWireText(claimText(s.user, name)),
};

/** Every variable as it is written in documentation and hints. */
export const templateVariables: readonly string[] = [
  ...Object.keys(single),
  ...Object.keys(families).map((prefix) => `${prefix}NAME`),
];

/**
 * Compiles a text with `${client.ip}`-like variables; once per snapshot. `$${` is a literal `${`. Throws an Error that
 * names an unknown variable and the nearest known one. A text without variables becomes a constant.
 */
export function compileTemplate(text: string, options: TemplateOptions = {}): Template {
  const pieces = parse(text);
  const encode = options.encode ?? ((value: string) => value);
  const parts = pieces.map((piece): string | Read => {
    if (piece.variable === undefined) return toWireText(piece.text);
    const { variable } = piece;
    const read = readerOf(variable, options.on ?? "request");
    return (source, status) => encode(withoutControls(read(source, status)), variable);
  });
  const [first, second] = parts;
  if (first === undefined) return () => "";
  if (second === undefined) {
    if (typeof first === "string") return () => first;
    return (source, status = source.response.status) => first(source, status);
  }
  return (source, status = source.response.status) => {
    let result = "";
    for (const part of parts) result += typeof part === "string" ? part : part(source, status);
    return result;
  };
}

/** Whether the text holds a variable, so that its value is not known before there is a request. */
export function hasVariables(text: string): boolean {
  return parse(text).some((piece) => piece.variable !== undefined);
}

/** The text outside variables, for checks that need no request. */
export function literalText(text: string): string {
  return parse(text)
    .map((piece) => (piece.variable === undefined ? piece.text : ""))
    .join("");
}

interface Piece {
  readonly text: string;
  readonly variable?: string;
}

function parse(text: string): Piece[] {
  const pieces: Piece[] = [];
  let literal = "";
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf("${", at);
    if (open < 0) break;
    if (open > at && text[open - 1] === "$") {
      literal += text.slice(at, open - 1) + "${";
      at = open + 2;
      continue;
    }
    const close = text.indexOf("}", open);
    if (close < 0) throw new Error(`"${text}" has a "\${" without its "}"; write "$\${" for the characters themselves`);
    literal += text.slice(at, open);
    if (literal !== "") pieces.push({ text: literal });
    literal = "";
    pieces.push({ text: "", variable: text.slice(open + 2, close) });
    at = close + 1;
  }
  literal += text.slice(at);
  if (literal !== "") pieces.push({ text: literal });
  return pieces;
}

function readerOf(variable: string, on: "request" | "response"): Read {
  if (variable === "response.status" && on === "request") {
    throw new Error("${response.status} is not known before there is a response");
  }
  const read = Object.hasOwn(single, variable) ? single[variable] : undefined;
  if (read !== undefined) return read;
  for (const [prefix, make] of Object.entries(families)) {
    if (variable.startsWith(prefix) && variable.length > prefix.length) return make(variable.slice(prefix.length));
  }
  const nearest = nearestVariable(variable);
  throw new Error(
    `unknown variable \${${variable}}` +
      (nearest === undefined ? `; known are ${templateVariables.join(", ")}` : `; did you mean \${${nearest}}?`),
  );
}

/** A claim by its whole name (names may hold dots: `https://example.com/role`), else by its path in nested claims. */
function claimText(user: Readonly<Record<string, unknown>> | undefined, name: string): string {
  if (user === undefined) return "";
  if (Object.hasOwn(user, name)) return valueText(user[name]);
  let value: unknown = user;
  for (const key of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return "";
    value = (value as Readonly<Record<string, unknown>>)[key]; // an object, checked above; its values stay unknown
  }
  return valueText(value);
}

function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.map(valueText).join(",");
  return typeof value === "object" && value !== null ? JSON.stringify(value) : "";
}

// A value from a request must not start a new header line, or be refused late as one that HTTP does not allow.
const controls = /[\x00-\x1f\x7f]/g;
function withoutControls(value: string): string {
  return value.replace(controls, "");
}

/** The known variable that was meant: of a family only the prefix is known, the rest is kept. */
function nearestVariable(variable: string): string | undefined {
  const name = variable.slice(variable.lastIndexOf(".") + 1);
  const candidates = Object.keys(families).map((prefix) => prefix + name);
  return didYouMean(variable, [...Object.keys(single), ...(name === "" ? [] : candidates)]);
}
