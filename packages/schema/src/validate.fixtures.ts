import { formatPath, validateDocument } from "./index.ts";

/** One line a problem: `path: message (hint)`. */
export function told(input: unknown): string[] {
  return validateDocument(input).problems.map(({ path, message, hint, severity }) => {
    const way = hint === undefined ? "" : ` (${hint})`;
    return `${severity === "warning" ? "warning: " : ""}${formatPath(path)}: ${message}${way}`;
  });
}

/** A service with one instance. */
export const service = { instances: [{ address: "127.0.0.1:3001" }] };

/** A document of one route, `r`, and one service, `s`. */
export const withRoute = (route: unknown) => ({ routes: { r: route }, services: { s: service } });

/** A document of one service, `s`. */
export const withService = (part: object) => ({ services: { s: { ...service, ...part } } });
