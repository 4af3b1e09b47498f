import { formatPath, parseWith } from "@headgate/schema";
import { z } from "zod";
import type { ReportedProblem } from "../control/report.ts";
import { messageLengthMax } from "./parameters.ts";
import { AdminError } from "./problem.ts";
import { readText, yamlLengthMax } from "./read-body.ts";

const documents = z
  .array(z.union([z.record(z.string(), z.unknown()), z.string()]))
  .min(1)
  .describe("Each a map of sections, or a text in JSON or YAML.");
const message = z.string().max(messageLengthMax).describe("Why; recorded.").optional();
const dryRun = z.boolean().describe("Says what would change and changes nothing.").optional();
const wait = z.string().describe("Answers when every gateway runs it, or after this time.").optional();

export const checkBody = z.strictObject({ documents });

export const applyBody = z.strictObject({
  documents,
  prune: z.boolean().describe("Deletes what no document holds.").optional(),
  dryRun,
  confirm: z.string().describe("Takes itself back after this time unless confirmed.").optional(),
  message,
  wait,
});

export const rollbackBody = z.strictObject({
  revision: z.int().min(1).describe("Restores the configuration as of this revision."),
  dryRun,
  message,
  wait,
});

export const confirmBody = z.strictObject({
  change: z.string().min(1).max(128).describe("Default: the one that waits.").optional(),
});

export const announceBody = z.strictObject({
  ttl: z
    .string()
    .describe("It is gone after this time unless it is announced again: `2s` to `1h`; default `10s`.")
    .optional(),
  status: z.enum(["UP", "DOWN", "DRAINING"]).optional(),
  weight: z.int().min(0).max(1_000_000).describe("Share of the service's requests.").optional(),
  zone: z.string().min(1).max(128).optional(),
  version: z.string().max(128).optional(),
});

export const circuitBody = z.strictObject({
  state: z.enum(["open", "closed", "auto"]).describe("`open` lets nothing through, `closed` all; `auto` lets go."),
});

export const replayBody = z.strictObject({
  ids: z
    .array(z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/))
    .min(1)
    .max(1_000)
    .describe("These.")
    .optional(),
  state: z.enum(["dead", "waiting"]).describe("Those; default `dead`.").optional(),
  route: z.string().describe("Only those of this route.").optional(),
  service: z.string().describe("Only those of this service.").optional(),
});

export const healthBody = z
  .record(z.string(), z.unknown())
  .describe("`status`, `metrics` with `cpuUsage`, `memoryUsage` and `requestLatencyMs`, `timestamp`.");

/** A body that fits a schema. Throws an AdminError with `status` and every problem. */
export function fitting<S extends z.ZodType>(schema: S, body: unknown, status = 400): z.output<S> {
  const parsed = parseWith(schema, body, []);
  if (parsed.ok) return parsed.value;
  const problems = parsed.problems.map(({ path, message: text, hint }) => ({
    severity: "error",
    path: formatPath(path),
    message: text,
    ...(hint === undefined ? {} : { hint }),
  }));
  const [first] = problems;
  const where = first === undefined || first.path === "" ? "The body" : first.path;
  throw new AdminError(
    status,
    `${where}: ${first?.message ?? "is not valid"}${first?.hint === undefined ? "" : ` (${first.hint})`}.`,
    {
      problems,
    },
  );
}

export interface ReadDocuments {
  readonly documents: readonly unknown[];
  /** Of texts that could not be read; `file` says which. */
  readonly problems: readonly ReportedProblem[];
}

/** Documents as maps, whether they came as such or as texts. Throws an AdminError with 413 for too much YAML. */
export function readDocuments(written: readonly (string | object)[]): ReadDocuments {
  const problems: ReportedProblem[] = [];
  let yamlLengthLeft = yamlLengthMax;
  const read = written.map((document, index): unknown => {
    if (typeof document !== "string") return document;
    const found = readText(document, yamlLengthLeft);
    if ("value" in found) {
      yamlLengthLeft -= found.yamlLength;
      return found.value;
    }
    const file = `documents[${index}]`;
    if (found.tooLarge) throw new AdminError(413, `${file} ${found.problem.message}.`);
    problems.push({ severity: "error", path: "", file, ...found.problem });
    return undefined;
  });
  return { documents: read, problems };
}
