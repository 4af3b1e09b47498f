import { isAscii } from "node:buffer";
import { validateGlobalChain, validateResource } from "@headgate/schema";
import type { PluginResource, Problem } from "@headgate/schema";
import { readTexts } from "../store/references.ts";
import type { KeyValue } from "../store/store.ts";
import type { CatalogKind, Version } from "./entry.ts";

/** A resource in a store: beyond it nobody wrote it by hand, and a worker would take too long over it. */
export const resourceBytesMax = 1024 * 1024;

/** Values inside values, as in documents; deeper ones exhaust the stack of what walks them. */
const depthMax = 100;

/**
 * Texts, numbers, lists and maps in one resource: ten thousand instances with weight and zone. A megabyte of `[1,1,1...]`
 * holds ten times as many, and to say what is wrong with each would hold up the control thread for seconds.
 */
const valuesMax = 50_000;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * What a store's value says, validated on its own. A plugin's code is not built yet. A plugin that is no JSON is taken
 * for its source: `etcdctl put /headgate/plugins/greet "$(cat greet.ts)"` works. Never throws.
 */
export function readVersion(kind: CatalogKind, name: string, kv: KeyValue): Version {
  const problems: Problem[] = [];
  const read = readValue(kind, name, kv.value, problems);
  if (read === undefined) return versionOf(kv, undefined, problems);
  // Code is full of `${name}`, and is nothing but itself.
  const written =
    kind === "plugins" || !read.mayRefer
      ? read.value
      : readTexts(read.value, (reference) => {
          const hint = "headgate apply expands it; a $ more in front makes it text";
          problems.push({
            path: pathOf(kind, name),
            // Without the default, which may be the secret itself.
            message: `${reference.replace(/:-[^}]*/, "")} is not expanded in a store`,
            hint,
            severity: "error",
          });
        });
  const { value: valid, problems: found } =
    kind === "settings" ? validateGlobalChain(written) : validateResource(kind, name, written);
  for (const problem of found) problems.push(problem);
  if (kind === "plugins") refusePath(name, valid as PluginResource | undefined, problems); // of this kind
  return versionOf(kv, problems.some(({ severity }) => severity === "error") ? undefined : valid, problems);
}

function versionOf(kv: KeyValue, value: Version["value"], problems: readonly Problem[]): Version {
  // Nearly all are without: with 100,000 of them the shared list is memory.
  const told = problems.length === 0 ? none : problems;
  const common = { source: "store", revision: kv.modRevision, kv, problems: told } as const;
  return value === undefined ? common : { ...common, value };
}

const none: readonly Problem[] = [];

/** The JSON of a value; `undefined` where it is not even that. For people and programs that ask for what is stored. */
export function storedValue(kind: CatalogKind, value: Buffer): unknown {
  return readValue(kind, "", value, [])?.value;
}

export function pathOf(kind: CatalogKind, name: string): readonly string[] {
  return kind === "settings" ? ["global"] : [kind, name];
}

function readValue(kind: CatalogKind, name: string, bytes: Buffer, problems: Problem[]): ReadValue | undefined {
  const path = pathOf(kind, name);
  if (bytes.length > resourceBytesMax) {
    const message = `the value has ${bytes.length} bytes: a resource has at most ${resourceBytesMax}`;
    problems.push({ path, message, hint: "split it", severity: "error" });
    return undefined;
  }
  let text: string;
  try {
    // A quarter of the time, for nearly all of a hundred thousand values.
    text = isAscii(bytes) ? bytes.latin1Slice() : utf8.decode(bytes);
  } catch {
    problems.push({ path, message: "the value is not UTF-8 text", hint: "store JSON", severity: "error" });
    return undefined;
  }
  try {
    const value = JSON.parse(text) as unknown;
    const message = text.length <= shallowCharactersMax ? undefined : shapeProblem(value);
    if (message === undefined) return { value, mayRefer: text.includes("${") || text.includes("\\u") };
    problems.push({ path, message, hint: "split it", severity: "error" });
    return undefined;
  } catch (error) {
    if (kind === "plugins" && text.trim() !== "") return { value: { source: text }, mayRefer: false };
    const why = error instanceof Error ? jsonPlace(error.message) : "";
    problems.push({
      path,
      message: `the value is not JSON${why}`,
      hint: "store the resource as JSON",
      severity: "error",
    });
    return undefined;
  }
}

interface ReadValue {
  readonly value: unknown;
  /** Whether a text in it may hold a reference: its JSON has none, nor an escape that could be part of one. */
  readonly mayRefer: boolean;
}

/** Each level takes two brackets: what is not longer has neither too many levels nor too many values. */
const shallowCharactersMax = 2 * depthMax;

function shapeProblem(root: unknown): string | undefined {
  let values = 0;
  const isDeeper = (value: unknown, levels: number): boolean => {
    values++;
    if (typeof value !== "object" || value === null) return false;
    return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
  };
  if (isDeeper(root, depthMax)) return `the value is nested more than ${depthMax} levels deep`;
  return values > valuesMax ? `the value holds ${values} values: a resource has at most ${valuesMax}` : undefined;
}

/** Where JSON ends being JSON, without the text around, which may hold a secret. */
function jsonPlace(message: string): string {
  const place = / at position \d+(?: \(line \d+ column \d+\))?/.exec(message)?.[0];
  return place === undefined ? "" : `: it ends being so${place}`;
}

/** A path would be one of the gateway's own files, another one on every machine. */
function refusePath(name: string, plugin: PluginResource | undefined, problems: Problem[]): void {
  if (plugin === undefined || plugin.path === undefined) return;
  const message = "a plugin in a store has a source, not a path";
  const hint = `headgate put plugins ${name} -f ${plugin.path} stores its source`;
  problems.push({ path: ["plugins", name], message, hint, severity: "error" });
}
