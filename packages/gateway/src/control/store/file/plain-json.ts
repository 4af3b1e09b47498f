/**
 * The value of a JSON document, or undefined where the YAML reader has to look at it: it is not JSON, has a key twice,
 * or keys that mean more than themselves. The YAML reader gives each part its place and costs a hundred times as much,
 * seconds for ten thousand routes; for JSON that is only paid when a place is asked for.
 */
export function readPlainJson(text: string, depthMax: number): unknown {
  if (!/^\s*\{/.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  let keysWritten = 0;
  // JSON.parse keeps the last of two equal keys and does not tell; fewer keys than were written give it away.
  for (const [, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"\s*(:)?/g)) if (colon !== undefined) keysWritten++;
  return countKeys(value, depthMax) === keysWritten ? value : undefined;
}

/** NaN, which equals no number of keys, where something is for the YAML reader. */
function countKeys(value: unknown, depthLeft: number): number {
  if (typeof value !== "object" || value === null) return 0;
  if (depthLeft === 0) return NaN;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countKeys(item, depthLeft - 1), 0);
  let keys = 0;
  for (const [key, item] of Object.entries(value)) {
    keys += key === "__proto__" || key === "<<" ? NaN : 1 + countKeys(item, depthLeft - 1);
  }
  return keys;
}
