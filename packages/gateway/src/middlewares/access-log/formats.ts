import type { Exchange } from "../../proxy/exchange.ts";
import {
  fieldNamed,
  isoTime,
  jsonFields,
  quote,
  quoteWire,
  receivedPath,
  receivedQuery,
  refererOf,
  statusOf,
  traceIdOf,
  type Field,
} from "./fields.ts";

/** Makes the line of an exchange that is over. */
export type Format = (exchange: Exchange) => string;

/** Lines of one JSON object. `names` selects the fields and their order. Throws on a name that is no field. */
export function jsonFormat(names: readonly string[] = [...jsonFields.keys()]): Format {
  const fields = names.map((name) => labelled(name, name));
  // By hand: no object is made for the line, and only values that need it are escaped.
  return (exchange) => {
    let line = "";
    for (const [key, field] of fields) {
      const value = field(exchange);
      if (value !== "") line += (line === "" ? key : `,${key}`) + value;
    }
    return `{${line}}`;
  };
}

/** Elastic Common Schema 8.11 in its flat form; `added` fields become `labels`. Throws on a name that is no field. */
export function ecsFormat(added: readonly string[] = []): Format {
  // Elasticsearch reads a dot in a name as a level.
  const labels = added.map((name) => labelled(name, `labels.${name.replaceAll(/[.-]/g, "_")}`));
  const fields = [...ecsFields, ...labels];
  return (exchange) => {
    let line = `{"@timestamp":"${isoTime(exchange.startedWallMs)}","ecs.version":"8.11.0","event.kind":"event","event.category":["web"]`;
    for (const [key, field] of fields) {
      const value = field(exchange);
      if (value !== "") line += `,${key}${value}`;
    }
    return `${line}}`;
  };
}

const ecsFields: readonly (readonly [key: string, field: Field])[] = [
  ['"event.outcome":', (exchange) => (statusOf(exchange) < 400 ? '"success"' : '"failure"')],
  // Nanoseconds, as the schema has it.
  [
    '"event.duration":',
    (exchange) => String(Math.max(0, Math.round((exchange.finishedMs - exchange.startedMs) * 1e6))),
  ],
  ['"http.request.method":', ({ request }) => quote(request.method)],
  ['"http.request.id":', ({ id }) => quote(id)],
  ['"http.request.body.bytes":', ({ requestBytes }) => String(requestBytes)],
  ['"http.request.referrer":', (exchange) => quoteWire(refererOf(exchange))],
  ['"http.response.status_code":', (exchange) => String(statusOf(exchange))],
  ['"http.response.body.bytes":', ({ responseBytes }) => String(responseBytes)],
  ['"url.scheme":', ({ client }) => quote(client.scheme)],
  ['"url.domain":', ({ request }) => quoteWire(request.host)],
  ['"url.path":', (exchange) => quoteWire(receivedPath(exchange))],
  ['"url.query":', (exchange) => quoteWire(receivedQuery(exchange))],
  ['"client.ip":', ({ client }) => quote(client.ip)],
  ['"source.ip":', ({ client }) => quote(client.peer)],
  ['"user.name":', ({ consumer }) => quote(consumer?.name ?? "")],
  ['"user_agent.original":', ({ request }) => quoteWire(request.headers.get("user-agent") ?? "")],
  ['"service.name":', ({ serviceName }) => quote(serviceName)],
  ['"trace.id":', (exchange) => quote(traceIdOf(exchange))],
  ['"error.code":', ({ error }) => quote(error?.code ?? "")],
  ['"labels.route":', ({ routeName }) => quote(routeName)],
  ['"labels.upstream":', ({ instanceAddress }) => quote(instanceAddress)],
];

/** The NCSA combined format, as Apache httpd and nginx write it; times in UTC. */
export function combinedFormat(exchange: Exchange): string {
  const { client, consumer, request, responseBytes } = exchange;
  const query = receivedQuery(exchange);
  const target = receivedPath(exchange) + (query === "" ? "" : `?${query}`);
  return (
    `${client.ip} - ${word(consumer?.name)} [${clfTime(exchange.startedWallMs)}] ` +
    `"${escape(request.method)} ${escape(target)} HTTP/1.1" ${statusOf(exchange)} ${responseBytes} ` +
    `"${escape(refererOf(exchange)) || "-"}" "${escape(request.headers.get("user-agent") ?? "") || "-"}"`
  );
}

function labelled(name: string, key: string): readonly [key: string, field: Field] {
  const field = fieldNamed(name);
  if (field === undefined) throw new Error(`"${name}" is no field of the access log`);
  return [`${JSON.stringify(key)}:`, field];
}

/** A value that stands without quotes: a space in it would shift every column behind it. */
function word(text: string | undefined): string {
  return text === undefined || text === "" ? "-" : escape(text).replaceAll(" ", "\\x20");
}

/** What Apache escapes: quotes, the backslash, and all that is not printable ASCII, so that a line is one line. */
function escape(text: string): string {
  if (/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text)) return text;
  return text.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/gu, (character) => {
    if (character === '"' || character === "\\") return `\\${character}`;
    const encoding = character > "\xff" ? "utf8" : "latin1"; // the wire's bytes are latin1 already
    return [...Buffer.from(character, encoding)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  });
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
let clfSecond = NaN;
let clfText = "";

/** `10/Oct/2026:13:55:36 +0000`, made once a second. */
function clfTime(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== clfSecond) {
    clfSecond = second;
    const iso = new Date(second * 1000).toISOString();
    clfText = `${iso.slice(8, 10)}/${months[Number(iso.slice(5, 7)) - 1]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
  }
  return clfText;
}
