import { formatPath } from "@headgate/schema";
import type { Path } from "@headgate/schema";
import type { ExpandedText } from "./source-tree.ts";

/**
 * Takes what came from the environment or a file out of a message: every quoted text that is the whole value becomes
 * what the document says (`"${JWT_SECRET}"`). Around the place a problem is about, quoted parts of the value go too,
 * and unquoted ones, since a middleware's own messages may repeat a value in any form.
 */
export function redact(message: string, path: Path, expanded: ReadonlyMap<string, ExpandedText>): string {
  let told = message;
  const place = formatPath(path);
  for (const [where, { source, text }] of expanded) {
    if (text === "" || text === source) continue;
    told = told.replaceAll(JSON.stringify(text), JSON.stringify(source));
    if (!concerns(place, where)) continue;
    told = told.replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => (isPart(quoted, text) ? JSON.stringify(source) : quoted));
    // Shorter ones are part of too many words to be worth hiding.
    if (text.length >= 4) told = told.replaceAll(text, source);
  }
  return told;
}

/** Whether one of two places holds the other. */
function concerns(place: string, where: string): boolean {
  return isWithin(place, where) || isWithin(where, place);
}

function isWithin(inner: string, outer: string): boolean {
  return outer === "" || inner === outer || (inner.startsWith(outer) && /[.[]/.test(inner.charAt(outer.length)));
}

function isPart(quoted: string, text: string): boolean {
  const content = quoted.slice(1, -1).toLowerCase();
  return content.length >= 3 && text.toLowerCase().includes(content);
}
