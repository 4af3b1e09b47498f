import { formatPath } from "@headgate/schema";
import type { Problem } from "@headgate/schema";

/**
 * `later` problems without those about a part that an `earlier` one calls broken: what is read of such a part is a
 * guess, and a second complaint about it would lead astray.
 */
export function unexplained(later: readonly Problem[], earlier: readonly Problem[]): readonly Problem[] {
  const broken = new Set(earlier.filter(({ severity }) => severity === "error").map(({ path }) => formatPath(path)));
  if (broken.size === 0) return later;
  return later.filter(({ path }) => !path.some((_, index) => broken.has(formatPath(path.slice(0, index + 1)))));
}
