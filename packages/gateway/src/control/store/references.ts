/** What the loader of documents puts something in for; a `$` more in front is the way to write such a text itself. */
const reference = /\$?\$\{(?:file:[^}]*|[A-Z_][A-Z0-9_]*(?::-[^}]*)?)\}/g;

/** A value in which every text that a loader would expand is written so that it stays what it is. */
export function escapeReferences(value: unknown): unknown {
  return mapTexts(value, (text) => text.replace(reference, (found) => `$${found}`));
}

/**
 * The texts of a value that a store holds. Nothing is put in there: who may write to the store could read the
 * environment and the files of every gateway. `$${NAME}` is the text `${NAME}`; an unescaped reference is told in
 * `found`, for it would be a known secret.
 */
export function readTexts(value: unknown, found: (reference: string) => void): unknown {
  return mapTexts(value, (text) =>
    text.replace(reference, (one) => {
      if (one.startsWith("$$")) return one.slice(1);
      found(one);
      return one;
    }),
  );
}

/** The same value where no text changes. */
function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return value.includes("${") ? change(value) : value;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items: unknown[] = value.map((item) => mapTexts(item, change));
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  const entries: [string, unknown][] = Object.entries(value).map(([key, inner]) => [key, mapTexts(inner, change)]);
  return entries.some(([key, inner]) => inner !== Reflect.get(value, key)) ? Object.fromEntries(entries) : value;
}
