import type { Kind } from "../control/layout.ts";
import { count } from "./output.ts";

/** What a resource is about, in a few words, from the value as it is written; whatever it may be: it need not be valid. */
export function summaryOf(kind: Kind, value: unknown): string {
  switch (kind) {
    case "routes":
      return routeSummary(value);
    case "services":
      return serviceSummary(value);
    case "middlewares":
      return isMap(value)
        ? Object.keys(value)
            .filter((key) => key !== "when")
            .join(", ")
        : textOf(value);
    case "consumers":
      return consumerSummary(value);
    case "certificates":
      return listText(member(value, "hosts"));
    case "plugins":
      return pluginSummary(value);
    case "settings":
      return listText(value);
  }
}

function routeSummary(value: unknown): string {
  const match = member(value, "match");
  const alternatives = (Array.isArray(match) ? match : [match]).map((one: unknown) => {
    const host = listText(member(one, "hosts"), ",");
    const place = `${host}${textOf(member(one, "path")) || (host === "" ? "any path" : "")}`;
    return [listText(member(one, "methods"), ","), place].filter((text) => text !== "").join(" ");
  });
  const destination = destinationText(value);
  return `${alternatives.join(" or ")}${destination === "" ? "" : ` -> ${destination}`}`;
}

function destinationText(value: unknown): string {
  const respond = member(value, "respond");
  if (respond !== undefined) return `answers ${textOf(member(respond, "status")) || "200"}`;
  const to = member(value, "to");
  if (!Array.isArray(to)) return textOf(isMap(to) ? member(to, "service") : to);
  return to
    .map((one: unknown) => {
      const weight = textOf(member(one, "weight"));
      return `${textOf(isMap(one) ? member(one, "service") : one)}${weight === "" ? "" : ` (${weight})`}`;
    })
    .join(", ");
}

function serviceSummary(value: unknown): string {
  const instances = member(value, "instances");
  const discover = member(value, "discover");
  const parts = [
    ...(Array.isArray(instances) ? [count(instances.length, "instance")] : []),
    ...(isMap(discover) ? Object.entries(discover).map(([how, what]) => `${how} ${sourceText(what)}`.trimEnd()) : []),
  ];
  return parts.join(", ");
}

/** A text, or a map with the name that is looked for. */
function sourceText(value: unknown): string {
  return textOf(isMap(value) ? (member(value, "service") ?? member(value, "name")) : value);
}

function consumerSummary(value: unknown): string {
  const keys = member(value, "keys");
  const groups = listText(member(value, "groups"));
  const subject = textOf(member(member(value, "jwt"), "subject"));
  const parts = [
    ...(Array.isArray(keys) && keys.length > 0 ? [count(keys.length, "key")] : []),
    ...(subject === "" ? [] : [`subject ${subject}`]),
    ...(groups === "" ? [] : [`groups ${groups}`]),
  ];
  return parts.join(", ");
}

function pluginSummary(value: unknown): string {
  const source = member(value, "source");
  if (typeof source === "string") return count(source.trimEnd().split("\n").length, "line");
  return textOf(isMap(value) ? member(value, "path") : value);
}

function listText(value: unknown, between = ", "): string {
  if (!Array.isArray(value)) return textOf(value);
  return value.map((one: unknown) => (isMap(one) ? (Object.keys(one)[0] ?? "") : textOf(one))).join(between);
}

function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

function member(value: unknown, name: string): unknown {
  return isMap(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
