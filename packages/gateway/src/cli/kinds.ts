import { didYouMean } from "@headgate/schema";
import { kinds, type Kind } from "../control/layout.ts";
import { UsageError } from "./settings.ts";

const singular: Readonly<Record<Kind, string>> = {
  routes: "route",
  services: "service",
  middlewares: "middleware",
  consumers: "consumer",
  certificates: "certificate",
  plugins: "plugin",
  settings: "setting",
};

/** A kind of resources as people name it, in singular or plural. Throws a UsageError. */
export function kindOf(text: string): Kind {
  const wanted = text.toLowerCase();
  for (const kind of kinds) if (wanted === kind || wanted === singular[kind]) return kind;
  if (wanted === "global") throw new UsageError('The global chain is "settings global".');
  const meant = didYouMean(text, [...kinds, ...Object.values(singular)]);
  const hint = meant === undefined ? `use one of ${kinds.join(", ")}.` : `did you mean "${meant}"?`;
  throw new UsageError(`There is no kind "${text}"; ${hint}`);
}

/** The admin API's path of a resource. */
export function resourcePath(kind: Kind, name: string): string {
  return `/v1/${kind}/${encodeURIComponent(name)}`;
}
