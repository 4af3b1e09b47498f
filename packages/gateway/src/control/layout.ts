import { nameProblem, quote, suggestion } from "@headgate/schema";
import { keyOf, textOf } from "./store/keys.ts";
import type { Key } from "./store/store.ts";

/** What a configuration consists of; each is a folder of keys below the prefix, and a part of the admin API's paths. */
export const kinds = ["routes", "services", "middlewares", "consumers", "certificates", "plugins", "settings"] as const;

export type Kind = (typeof kinds)[number];

/** The one name of `settings`: its value is the chain in front of every route. */
export const globalSettings = "global";

/** What a key below the prefix is. */
export type ParsedKey =
  | { readonly area: "resource"; readonly kind: Kind; readonly name: string }
  /** A change that was applied. */
  | { readonly area: "change"; readonly id: string }
  /** A gateway that runs. */
  | { readonly area: "node"; readonly id: string }
  /** A change that takes itself back unless it is confirmed. */
  | { readonly area: "confirm"; readonly id: string }
  /** Nothing of ours. `reason` is one sentence for people. */
  | { readonly area: "unknown"; readonly reason: string };

export function isKind(text: string): text is Kind {
  // includes() of a tuple takes only its members; the question is whether this is one.
  return (kinds as readonly string[]).includes(text);
}

/** The prefix as keys begin with it: a path that ends with `/`. */
export function normalizePrefix(prefix: string): Key {
  return keyOf(prefix.endsWith("/") ? prefix : `${prefix}/`);
}

export function resourceKey(prefix: Key, kind: Kind, name: string): Key {
  return `${kindPrefix(prefix, kind)}${keyOf(name)}`;
}

/** What the keys of all resources of a kind begin with. */
export function kindPrefix(prefix: Key, kind: Kind): Key {
  return `${prefix}${kind}/`;
}

/** What the keys of all changes begin with. */
export function changesPrefix(prefix: Key): Key {
  return `${prefix}changes/`;
}

export function changeKey(prefix: Key, id: string): Key {
  return `${changesPrefix(prefix)}${keyOf(id)}`;
}

/** What the keys of all gateways begin with. */
export function nodesPrefix(prefix: Key): Key {
  return `${prefix}nodes/`;
}

export function nodeKey(prefix: Key, id: string): Key {
  return `${nodesPrefix(prefix)}${keyOf(id)}`;
}

/** What the keys of all changes that wait for confirmation begin with. */
export function confirmPrefix(prefix: Key): Key {
  return `${prefix}confirm/`;
}

export function confirmKey(prefix: Key, id: string): Key {
  return `${confirmPrefix(prefix)}${keyOf(id)}`;
}

/** Why a resource cannot have this name, or undefined. */
export function resourceNameProblem(kind: Kind, name: string): string | undefined {
  if (kind !== "settings" || name === globalSettings) return nameProblem(name);
  return `${quote(name)} is no setting: expected "${globalSettings}"`;
}

/** What a key is. Never throws, whatever bytes it is made of. `prefix` as `normalizePrefix` makes it. */
export function parseKey(prefix: Key, key: Key): ParsedKey {
  if (!key.startsWith(prefix)) return { area: "unknown", reason: `The key is not below ${textOf(prefix)}.` };
  const slash = key.indexOf("/", prefix.length);
  if (slash < 0) return { area: "unknown", reason: `Expected ${textOf(prefix)}<kind>/<name>.` };
  const folder = key.slice(prefix.length, slash);
  const bytes = key.slice(slash + 1);
  // What is a name as bytes is the same as text: this way for nearly all of a hundred thousand keys, at half the cost.
  if (isKind(folder) && resourceNameProblem(folder, bytes) === undefined) {
    return { area: "resource", kind: folder, name: bytes };
  }
  const name = textOf(bytes);
  if (isKind(folder)) {
    // Names are ASCII: bytes beyond that become characters that no name may hold.
    const problem = resourceNameProblem(folder, name);
    if (problem === undefined) return { area: "resource", kind: folder, name };
    return { area: "unknown", reason: `${problem.charAt(0).toUpperCase()}${problem.slice(1)}.` };
  }
  const area = areas.get(folder);
  if (area === undefined) {
    const folderText = textOf(folder);
    const meant = suggestion(folderText, [...kinds, ...areas.keys()]);
    return { area: "unknown", reason: `There is no kind ${quote(folderText)}${meant ? `: ${meant}` : "."}` };
  }
  if (name === "") return { area: "unknown", reason: `The key has no name after ${textOf(prefix)}${folder}/.` };
  return { area, id: name };
}

const areas: ReadonlyMap<string, "change" | "node" | "confirm"> = new Map([
  ["changes", "change"],
  ["nodes", "node"],
  ["confirm", "confirm"],
]);
