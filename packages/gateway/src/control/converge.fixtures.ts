import { validateDocument, type Resources } from "@headgate/schema";
import { deferred } from "../../../../tests/kit/wait.ts";
import { Catalog } from "./catalog/catalog.ts";
import { kvOf, partsOf, table, type Written } from "./catalog/catalog.fixtures.ts";
import { Converger, type Converged, type ConvergerOptions, type StoredResource } from "./converge.ts";
import { FakeMember, linesLog } from "./member.fixtures.ts";
import { Discovery } from "./registry/discovery.ts";
import { Publisher } from "./publish.ts";

/** A converger with one worker. */
export async function converging(
  options: Partial<Pick<ConvergerOptions, "buildPlugin" | "onConverged" | "aheadMin">> = {},
) {
  const catalog = new Catalog(table);
  const publisher: Publisher = new Publisher(() => ({ ...catalog.whole(), revision: converger.revision }));
  const converged: Converged[] = [];
  const { lines, log } = linesLog();
  const time = { now: 0 };
  const converger: Converger = new Converger({
    catalog,
    publisher,
    discovery: new Discovery({ catalog, find: () => [] }),
    log,
    clock: { now: () => time.now, wall: () => 0 },
    ...(options.aheadMin === undefined ? {} : { aheadMin: options.aheadMin }),
    buildPlugin: options.buildPlugin ?? ((_name, version) => Promise.resolve(version)),
    onConverged: (one) => {
      converged.push(one);
      options.onConverged?.(one);
    },
  });
  const member = new FakeMember();
  await publisher.join(member);
  member.seen.length = 0;
  const store = (revision: number, written: Written, seenMs = 0): void =>
    converger.store(revision, seenMs, storedOf(written, revision));
  /** The worker answers nothing until it is let go on. */
  const hold = (): (() => void) => {
    const held = deferred();
    member.answers = async (message) => {
      await held.promise;
      return member.willing(message);
    };
    return () => {
      member.answers = (message) => member.willing(message);
      held.resolve();
    };
  };
  return { catalog, publisher, converger, converged, member, store, hold, lines };
}

export function storedOf(written: Written, revision: number): StoredResource[] {
  return Object.entries(written).map(([id, value]) => {
    const [kind, name] = partsOf(id);
    return value === undefined ? { kind, name } : { kind, name, kv: kvOf(kind, name, value, revision) };
  });
}

/** The resources of a document, by kind. */
export function documentOf(document: object): Resources {
  const { value, problems } = validateDocument(document);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value.resources;
}
