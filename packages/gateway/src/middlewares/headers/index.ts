import { z } from "zod";
import { errorWithFields, isFieldName, wireFieldReason } from "../../core/field-rules.ts";
import { compileTemplate } from "../../core/template.ts";
import type { Template } from "../../core/template.ts";
import type { Exchange } from "../../proxy/exchange.ts";
import type { Fields } from "../../proxy/http1/fields.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";

// Numbers and booleans are what YAML makes of `x-version: 2`.
const fieldValue = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const values = z.record(z.string(), fieldValue).superRefine(checkNames).prefault({});
const names = z.array(z.string()).superRefine(checkNames).prefault([]);
const changes = z.strictObject({ set: values, add: values, remove: names });

function checkNames(input: readonly string[] | Readonly<Record<string, string>>, context: z.RefinementCtx): void {
  for (const [key, value] of Object.entries(input)) {
    const name = Array.isArray(input) ? value : key;
    const reason = isFieldName(name) ? wireFieldReason(name) : "it is not a valid header name";
    if (reason === undefined) continue;
    const path = Array.isArray(input) ? [Number(key)] : [key];
    context.addIssue({ code: "custom", path, message: `header "${name}" cannot be changed: ${reason}` });
  }
}

/** Changes header fields of the request to the instance and of the answer. Runs once per exchange. */
export default defineMiddleware({
  name: "headers",
  config: z.strictObject({ request: changes.prefault({}), response: changes.prefault({}) }),
  build({ request, response }) {
    for (const name of [...Object.keys(request.add), ...request.remove]) {
      if (name.toLowerCase() === "host")
        throw new Error('a request has exactly one host: use "rewrite: { host: ... }"');
    }
    const onRequest = compileChanges(request, "request");
    const onResponse = compileChanges(response, "response");
    const changesResponse = onResponse.remove.length + onResponse.set.length + onResponse.add.length > 0;
    return function headers(exchange, next) {
      change(exchange.request.headers, onRequest, exchange);
      return changesResponse ? changeAnswer(exchange, next, onResponse) : next();
    };
  },
});

interface Write {
  readonly name: string;
  readonly value: Template;
}

/** In the order they are applied: what is removed can be set again, and what is set can be added to. */
interface Changes {
  readonly remove: readonly string[];
  readonly set: readonly Write[];
  readonly add: readonly Write[];
}

function compileChanges(settings: z.output<typeof changes>, on: "request" | "response"): Changes {
  const writes = (record: Readonly<Record<string, string>>): Write[] =>
    Object.entries(record).map(([name, text]) => ({ name, value: checked(name, text, on) }));
  return { remove: settings.remove, set: writes(settings.set), add: writes(settings.add) };
}

function checked(name: string, text: string, on: "request" | "response"): Template {
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(text)) throw new Error(`the value of header ${name} holds a control character`);
  return compileTemplate(text, { on });
}

function change(fields: Fields, { remove, set, add }: Changes, exchange: Exchange): void {
  for (const name of remove) fields.delete(name);
  for (const { name, value } of set) {
    const text = value(exchange);
    if (text !== "") fields.set(name, text);
    // A variable without a value: the client's own field of that name must not pass for the gateway's.
    else if (name.toLowerCase() !== "host") fields.delete(name);
  }
  for (const { name, value } of add) {
    const text = value(exchange);
    if (text !== "") fields.append(name, text);
  }
}

/** The gateway's own error answers are answers too: a security header is missed most on those. */
async function changeAnswer(exchange: Exchange, next: () => Promise<void>, changes: Changes): Promise<void> {
  try {
    await next();
  } catch (error) {
    throw errorWithFields(error, errorFields(error, exchange, changes));
  }
  change(exchange.response.headers, changes, exchange);
}

/** They speak of the service's answer: an error is another body, and must not be kept as long as what it stands for. */
const ofTheBody = new Set([
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-location",
  "content-range",
  "content-type",
  "etag",
  "expires",
  "last-modified",
]);

function errorFields(error: unknown, exchange: Exchange, { set, add }: Changes): Record<string, string> {
  const { status } = errorWithFields(error, {}).facts;
  const fields: Record<string, string> = {};
  for (const { name, value } of [...add, ...set]) {
    if (ofTheBody.has(name.toLowerCase())) continue;
    const text = value(exchange, status);
    if (text !== "") fields[name] = text;
  }
  return fields;
}
