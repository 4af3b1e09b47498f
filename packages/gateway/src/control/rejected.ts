import { parseKey } from "./layout.ts";
import type { Node } from "./node-report.ts";
import type { ReportedProblem } from "./report.ts";
import type { Key } from "./store/store.ts";

/** Others need to know that something is rejected, and what for example. */
const rejectedMax = 100;
/** What a plugin throws can be of any length, and a value that etcd refuses for its size would hide this gateway. */
const messageCharsMax = 500;

/** What a gateway tells the others of its problems: the errors of what the store holds. */
export function rejectedOf(prefix: Key, problems: readonly ReportedProblem[]): Node["rejected"] {
  const rejected: Node["rejected"][number][] = [];
  for (const { severity, path, key, revision, message } of problems) {
    if (severity !== "error" || key === undefined) continue;
    if (rejected.length === rejectedMax) break;
    const parsed = parseKey(prefix, key);
    const { kind, name } = parsed.area === "resource" ? parsed : { kind: "unknown", name: path };
    rejected.push({ kind, name, key, revision: revision ?? null, message: message.slice(0, messageCharsMax) });
  }
  return rejected;
}
