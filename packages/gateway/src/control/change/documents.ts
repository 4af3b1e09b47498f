import { formatPath, quote, suggestion } from "@headgate/schema";
import { globalSettings, isKind, kinds, parseKey, type Kind } from "../layout.ts";
import type { ReportedProblem } from "../report.ts";
import type { Key } from "../store/store.ts";
import type { ResourceWrite } from "./change.ts";

/** What documents hold. */
export interface WantedResources {
  readonly wanted: readonly ResourceWrite[];
  readonly problems: readonly ReportedProblem[];
  /** No document has a section for resources, not even an empty one. */
  readonly silent: boolean;
}

const sections = ["global", ...kinds.filter((kind) => kind !== "settings")];

/** The resources of documents as they were written, one after the other. Values are not looked at. Pure. */
export function resourcesOf(documents: readonly unknown[]): WantedResources {
  const reader = new DocumentsReader();
  for (const document of documents) reader.read(document);
  return { wanted: [...reader.wanted.values()], problems: reader.problems, silent: !reader.hasSection };
}

class DocumentsReader {
  readonly wanted = new Map<string, ResourceWrite>();
  readonly problems: ReportedProblem[] = [];
  hasSection = false;

  read(document: unknown): void {
    // An empty file is an empty document.
    if (document === null || document === undefined) return;
    if (!isMap(document)) return this.#refuse([], "expected a map of sections");
    for (const [section, content] of Object.entries(document)) this.#readSection(section, content);
  }

  #readSection(section: string, content: unknown): void {
    if (section === "gateway") {
      const message = "is not applied: each gateway reads its own when it starts";
      this.problems.push({ severity: "warning", path: section, message, hint: "pass it to headgate start -c" });
      return;
    }
    if (section === "global") {
      this.hasSection = true;
      return this.#want("settings", globalSettings, content ?? [], [section]);
    }
    if (!isKind(section) || section === "settings") {
      const hint = section === "settings" ? 'write the chain under "global"' : suggestion(section, sections);
      return this.#refuse([section], `unknown section ${quote(section)}`, hint);
    }
    this.hasSection = true;
    if (content === null || content === undefined) return;
    if (!isMap(content)) return this.#refuse([section], "expected a map of names");
    for (const [name, value] of Object.entries(content)) this.#want(section, name, value ?? null, [section, name]);
  }

  #want(kind: Kind, name: string, value: unknown, path: readonly string[]): void {
    const id = `${kind}/${name}`;
    if (this.wanted.has(id)) return this.#refuse(path, "stands in more than one document", "keep one of them");
    this.wanted.set(id, { kind, name, value });
  }

  #refuse(path: readonly string[], message: string, hint?: string): void {
    this.problems.push({
      severity: "error",
      path: formatPath(path),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/**
 * Completes what documents hold by deletions of every stored resource that none of them names. Documents without any
 * section would delete everything, which nobody means who forgot a file: that is a problem unless nothing is stored.
 */
export function pruned(prefix: Key, documents: WantedResources, stored: Iterable<Key>): WantedResources {
  const named = new Set(documents.wanted.map(({ kind, name }) => `${kind}/${name}`));
  const surplus: ResourceWrite[] = [];
  for (const key of stored) {
    const parsed = parseKey(prefix, key);
    if (parsed.area !== "resource" || named.has(`${parsed.kind}/${parsed.name}`)) continue;
    surplus.push({ kind: parsed.kind, name: parsed.name, value: undefined });
  }
  if (!documents.silent || surplus.length === 0) return { ...documents, wanted: [...documents.wanted, ...surplus] };
  const message = `the documents hold no resources: prune would delete all ${surplus.length} that are stored`;
  const hint = 'to delete them all, write an empty section: "routes: {}"';
  return { ...documents, problems: [...documents.problems, { severity: "error", path: "", message, hint }] };
}

/** An empty chain says the same as none: it is not stored where there was none. */
export function withoutEmptyChain(wanted: readonly ResourceWrite[], hasChain: boolean): readonly ResourceWrite[] {
  if (hasChain) return wanted;
  return wanted.filter(({ kind, value }) => kind !== "settings" || !Array.isArray(value) || value.length > 0);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
