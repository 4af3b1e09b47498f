import type { Problem } from "@headgate/schema";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import type { Catalog, Trial } from "./catalog/catalog.ts";
import type { CatalogKind, Entry, Version } from "./catalog/entry.ts";
import { pathOf, readVersion } from "./catalog/read-version.ts";
import { reportProblem } from "./catalog/report-entry.ts";
import type { Judge, Judgement, ResourceWrite } from "./change/change.ts";
import type { Publisher } from "./publish.ts";
import type { ReportedProblem } from "./report.ts";
import type { Routing } from "./routing.ts";
import type { Key, KeyValue } from "./store/store.ts";

export interface JudgeParts {
  readonly prefix: Key;
  readonly catalog: Catalog;
  readonly publisher: Publisher;
  readonly routing: Routing;
  /** Resolves when everything that was told is live. */
  readonly settled: () => Promise<void>;
  readonly buildPlugin: (name: string, version: Version) => Promise<Version>;
  /** What recent traffic would notice of a change to what runs. */
  readonly traffic: (change: SnapshotChange) => Promise<object>;
}

/**
 * What would be wrong if some writes were made: each is validated, references are followed with all of them in place,
 * and the workers build what would change and throw it away. Nothing that runs is touched.
 */
export function judgeOf(parts: JudgeParts): Judge {
  return async (writes, { traffic }) => {
    const refused: ReportedProblem[] = [];
    const versions = await versionsOf(parts, writes, refused);
    // What was written just before counts.
    await parts.settled();
    const trial = parts.catalog.trial(versions);
    const problems = [...refused, ...problemsOf(parts.prefix, trial), ...shadowed(parts, versions)];
    const compiled = trial.plan.change;
    if (compiled === undefined || problems.some(({ severity }) => severity === "error")) {
      return { problems, unreachable: [] };
    }
    const change: SnapshotChange = { ...compiled, revision: 0 };
    const refusal = await parts.publisher.rehearse(change);
    if (refusal !== undefined) {
      const messages = refusal.failures.length > 0 ? refusal.failures : [{ message: refusal.message }];
      for (const { message } of messages) problems.push({ severity: "error", path: "", message });
      return { problems, unreachable: [] };
    }
    return { problems, ...(await consequences(parts, change, traffic)) };
  };
}

interface Written {
  readonly kind: CatalogKind;
  readonly name: string;
  readonly version: Version | undefined;
}

async function consequences(
  { routing, traffic }: JudgeParts,
  change: SnapshotChange,
  withTraffic: boolean,
): Promise<Pick<Judgement, "unreachable" | "traffic">> {
  await routing.ready();
  const unreachable = routing.newlyUnreachable(change);
  return withTraffic ? { unreachable, traffic: await traffic(change) } : { unreachable };
}

async function versionsOf(
  { buildPlugin }: JudgeParts,
  writes: readonly ResourceWrite[],
  problems: ReportedProblem[],
): Promise<Written[]> {
  const versions: Written[] = [];
  for (const { kind, name, value } of writes) {
    if (kind === "certificates") {
      const hint = "terminate TLS in front of the gateway";
      const message = "TLS is not available in this version";
      if (value !== undefined) problems.push({ severity: "error", path: `certificates.${name}`, message, hint });
      continue;
    }
    let version = value === undefined ? undefined : readVersion(kind, name, candidate(value));
    if (kind === "plugins" && version?.value !== undefined) version = await buildPlugin(name, version);
    versions.push({ kind, name, version });
  }
  return versions;
}

function candidate(value: unknown): KeyValue {
  const bytes = Buffer.from(JSON.stringify(value));
  return { key: "", value: bytes, createRevision: 0, modRevision: 0, version: 0, lease: "0" };
}

/** Of what is written, all; of the rest what was well before. */
function problemsOf(prefix: Key, { plan, written }: Trial): ReportedProblem[] {
  const reported: ReportedProblem[] = [];
  for (const [entry, problems] of plan.problems) {
    const told = written.has(entry) ? problems : newErrors(entry, problems);
    for (const problem of told) {
      // Nothing is stored yet: there is no key to name, and no last good version to stay.
      reported.push(reportProblem(prefix, { ...entry, live: undefined, file: undefined, store: undefined }, problem));
    }
  }
  return reported;
}

/** Without effect as long as the file says something else of it; what is wrong with it by itself is wrong all the same. */
function shadowed({ catalog, prefix }: JudgeParts, versions: readonly Written[]): ReportedProblem[] {
  return versions.flatMap(({ kind, name, version }) => {
    const entry = catalog.entry(kind, name);
    if (entry?.file === undefined) return [];
    const message = "the file this gateway was started with says it too, and goes before the store";
    const warning = { path: pathOf(kind, name), message, hint: "change the file", severity: "warning" } as const;
    const told = [...(version?.problems ?? []), warning];
    return told.map((problem) => reportProblem(prefix, { ...entry, live: undefined }, problem));
  });
}

function newErrors(entry: Entry, problems: readonly Problem[]): readonly Problem[] {
  if (entry.problems.some(({ severity }) => severity === "error")) return [];
  return problems.filter(({ severity }) => severity === "error");
}
