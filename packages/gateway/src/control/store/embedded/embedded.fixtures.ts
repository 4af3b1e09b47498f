import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, type FakeClock } from "../../../../../../tests/kit/clock.ts";
import type { Scope } from "../../../../../../tests/kit/scope.ts";
import { silentLog } from "../../../core/log.ts";
import type { Timers } from "../../../core/timers.ts";
import { prefixRange } from "../keys.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import { openEmbedded } from "./open.ts";
import type { EmbeddedOptions } from "./open.ts";

export function temporaryDirectory(scope: Scope): string {
  const directory = mkdtempSync(join(tmpdir(), "headgate-store-"));
  scope.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function timersOf(clock: FakeClock): Timers {
  return {
    after(delayMs, action) {
      const timer = clock.setTimeout(action, delayMs);
      return () => clock.clearTimeout(timer);
    },
    every(intervalMs, action) {
      const timer = clock.setInterval(action, intervalMs);
      return () => clock.clearInterval(timer);
    },
  };
}

/** A store whose time stands still until the test moves it. */
export function openStore(
  scope: Scope,
  dataDir: string,
  clock: FakeClock,
  options: Partial<EmbeddedOptions> = {},
): EmbeddedStore {
  const random = seededRandom(7);
  const store = openEmbedded({ dataDir, clock, timers: timersOf(clock), random, log: silentLog, ...options });
  scope.after(() => store.close());
  return store;
}

/** Every key. */
export const everything = prefixRange("");
