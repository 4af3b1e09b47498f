/**
 * `next`, with each part that says the same as in `previous` replaced by the part of `previous`: who keeps what it
 * worked out for an object finds it again. Parts are the sections of a document and the entries of those that are maps;
 * maps are copied, `next` stays as it is. `detach` copies what is new: texts cut from a document would keep all of it in
 * memory for as long as one of them is used.
 */
export function shareEntries(previous: unknown, next: unknown, detach: boolean): unknown {
  if (!isMap(next)) return next;
  const before = isMap(previous) ? previous : {};
  const sections = Object.entries(next).map(([section, content]): [string, unknown] => {
    const known = ownValue(before, section);
    if (!isMap(content)) return [section, sharePart(known, content, detach)];
    const entries = Object.entries(content).map(([name, value]): [string, unknown] => [
      name,
      sharePart(isMap(known) ? ownValue(known, name) : undefined, value, detach),
    ]);
    return [section, Object.fromEntries(entries)];
  });
  return Object.fromEntries(sections);
}

function sharePart(previous: unknown, next: unknown, detach: boolean): unknown {
  if (sameInOrder(previous, next)) return previous;
  return detach ? structuredClone(next) : next;
}

/** Stricter than `sameValue`: the order of keys decides in which order problems are found. */
function sameInOrder(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => sameInOrder(item, b[index]));
  }
  if (!isMap(a) || !isMap(b)) return false;
  const keys = Object.keys(a);
  const others = Object.keys(b);
  return (
    keys.length === others.length && keys.every((key, index) => key === others[index] && sameInOrder(a[key], b[key]))
  );
}

function ownValue(map: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
