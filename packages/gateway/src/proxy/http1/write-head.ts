import type { Fields } from "./fields.ts";
import { sameName } from "./fields.ts";

/**
 * The text of a message's fields: ranges of what was received, without the fields to leave out, then what steps added.
 * Fields next to each other go as one range, so an unchanged head costs as many pieces as it has gaps.
 *
 * @param fieldsStart offset of the first field line in `fields.raw`
 * @param leaveOut offsets of fields not to forward, ascending
 * @param nominated names that Connection nominated, lower case
 * @param replaced names of added fields that are not written either, lower case
 */
export function fieldLines(
  fields: Fields,
  fieldsStart: number,
  leaveOut: readonly number[],
  nominated: readonly string[] | undefined,
  replaced?: readonly string[],
): string {
  const { raw, offsets, added } = fields;
  let text = "";
  if (raw !== "") {
    let from = fieldsStart;
    if (fields.altered || nominated !== undefined) {
      for (let i = 0; i < offsets.length; i += 4) {
        if (!isLeftOut(fields, i, leaveOut, nominated)) continue;
        const start = lineStart(raw, offsets, i, fieldsStart);
        if (start > from) text += raw.slice(from, start);
        from = lineEnd(raw, offsets, i);
      }
    } else {
      for (const i of leaveOut) {
        const start = offsets[i] as number; // an offset of a field that is there
        if (start > from) text += raw.slice(from, start);
        from = lineEnd(raw, offsets, i);
      }
    }
    // The last two bytes are the empty line.
    if (raw.length - 2 > from) text += raw.slice(from, raw.length - 2);
  }
  if (added !== undefined) {
    for (let i = 0; i < added.length; i += 2) {
      const name = added[i] ?? "";
      // How a message is framed is never a step's to say.
      const lower = name.toLowerCase();
      if (!isOurs(lower) && replaced?.includes(lower) !== true) text += `${name}: ${added[i + 1] ?? ""}\r\n`;
    }
  }
  return text;
}

function isLeftOut(
  fields: Fields,
  i: number,
  leaveOut: readonly number[],
  nominated: readonly string[] | undefined,
): boolean {
  const { raw, offsets } = fields;
  const start = offsets[i] as number; // i walks the offsets
  if (start < 0 || leaveOut.includes(i)) return true;
  if (nominated === undefined) return false;
  const length = (offsets[i + 1] as number) - start;
  return nominated.some((name) => name.length === length && sameName(raw, start, name) && !isFraming(name));
}

function isOurs(name: string): boolean {
  return name === "content-length" || name === "transfer-encoding" || name === "connection" || name === "keep-alive";
}

/** The Content-Length that a step removed from a message whose body still has it; else nothing. */
export function restoredLength(fields: Fields, contentLength: number): string {
  if (!fields.altered || contentLength < 0 || fields.indexOf("content-length", 0) >= 0) return "";
  return `content-length: ${contentLength}\r\n`;
}

/** `Connection: content-length` must not unframe a body (RFC 9110 §7.6.1 forbids nominating such fields). */
function isFraming(name: string): boolean {
  return name === "content-length" || name === "host" || name === "transfer-encoding";
}

/** A removed field has lost its name's start; its line starts where the line before ends. */
function lineStart(raw: string, offsets: readonly number[], i: number, fieldsStart: number): number {
  return i === 0 ? fieldsStart : lineEnd(raw, offsets, i - 4);
}

function lineEnd(raw: string, offsets: readonly number[], i: number): number {
  // Behind the value comes at most blank space, then CRLF.
  const valueEnd = offsets[i + 3] as number; // four offsets a field
  return raw.charCodeAt(valueEnd) === 13 ? valueEnd + 2 : raw.indexOf("\n", valueEnd) + 1;
}
