import { GatewayError } from "./errors.ts";
import { encodePath, encodeSegment, holdsDotSegment, toWireText } from "./paths.ts";
import { compileTemplate, hasVariables, literalText } from "./template.ts";
import type { TemplateSource } from "./template.ts";

/** Makes a path, or throws HG_BAD_REQUEST where the request's values do not make a safe one. */
export type PathTemplate = (source: TemplateSource) => string;

/**
 * Compiles a path with variables; once per snapshot. Values stay within their segment, except `${request.path}`, which
 * is a path itself. Throws an Error where the text can never be a path.
 */
export function compilePath(text: string): PathTemplate {
  if (!text.startsWith("/") && !text.startsWith("${request.path}")) throw new Error(`path "${text}" must start with /`);
  if (/[?#]/.test(literalText(text))) throw new Error(`path "${text}" must not hold a query or a fragment`);
  if (holdsDotSegment(literalText(text))) throw new Error(`path "${text}" holds a dot segment`);
  const template = compileTemplate(text, {
    encode: (value, variable) => (variable === "request.path" ? value : encodeSegment(value)),
  });
  if (hasVariables(text)) return (source) => safePath(template(source));
  const constant = encodePath(toWireText(literalText(text)));
  return () => constant;
}

/**
 * A path made from parts of a request, fit to be sent: encoded, with one slash in front. Throws HG_BAD_REQUEST where it
 * holds a dot segment, with which a client could leave the place that the configuration gave it.
 */
export function safePath(made: string): string {
  const path = encodePath(made).replace(/^\/*/, "/");
  if (holdsDotSegment(path)) {
    throw new GatewayError("HG_BAD_REQUEST", { detail: "The path made from this request holds a dot segment." });
  }
  return path;
}

const host = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)(?::[0-9]{1,5})?$/;

/**
 * Compiles `host` or `host:port` with variables; once per snapshot. Throws an Error on text that is no host; what it
 * returns throws HG_BAD_REQUEST where the request's values do not make one.
 */
export function compileHost(text: string): (source: TemplateSource) => string {
  const template = compileTemplate(text);
  if (!hasVariables(text)) {
    if (!host.test(text)) throw new Error(`"${text}" is not a host name`);
    return () => text;
  }
  return (source) => {
    const made = template(source);
    if (!host.test(made))
      throw new GatewayError("HG_BAD_REQUEST", { detail: "This request does not make a valid host." });
    return made;
  };
}
