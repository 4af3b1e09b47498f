import type { ApplyResult, FieldDifference, ResourceDifference, WriteAction } from "../control/change/change.ts";
import type { TrafficReport } from "../control/replay.ts";
import { problemText, type AnsweredProblem } from "./command-error.ts";
import { count, grouped, timeText, type Paint } from "./output.ts";
import { trafficText } from "./traffic-text.ts";

/** What a change came to, as the admin API answers it. */
export type ChangeAnswer = Omit<ApplyResult, "traffic"> & { readonly traffic?: TrafficReport };

/** Characters of a value that a difference shows; of a longer one the end is left out. */
const valueLengthMax = 160;

/** What a change came to, for people. */
export function changeText(answer: ChangeAnswer, warnings: readonly AnsweredProblem[], paint: Paint): string {
  const { diff, unreachable, traffic, dryRun } = answer;
  const lines = [
    ...diff.flatMap((resource) => differenceLines(resource, paint)),
    ...warnings.map((problem) => paint.doubtful(problemText(problem))),
    ...unreachable.map(({ route, alternative, by }) => {
      const which = alternative === 0 ? route : `${route}, alternative ${alternative + 1},`;
      return paint.doubtful(`warning: no request reaches ${which} any more: ${by} takes them all`);
    }),
    ...(dryRun && traffic !== undefined ? trafficText(traffic) : []),
    outcome(answer),
    ...confirmLines(answer),
    ...waitedLines(answer, paint),
  ];
  return `${lines.join("\n")}\n`;
}

const marks = { create: "+", update: "~", delete: "-" } as const satisfies Record<WriteAction, string>;

/** One resource that differs, and below it each of its fields that do. */
export function differenceLines({ kind, name, action, changes }: ResourceDifference, paint: Paint): readonly string[] {
  const colour = { create: paint.good, update: paint.doubtful, delete: paint.bad }[action];
  const first = colour(`${marks[action]} ${kind}/${name}`);
  return action === "update" ? [first, ...changes.map(fieldLine)] : [first];
}

function fieldLine(change: FieldDifference): string {
  const { path, before, after } = change;
  const name = path === "" ? "the whole" : path;
  if (!("before" in change)) return `    ${name}: added ${valueText(after)}`;
  if (!("after" in change)) return `    ${name}: removed ${valueText(before)}`;
  // What is hidden differs, or it would not be told.
  const unlike = JSON.stringify(before) === JSON.stringify(after) ? " (another one)" : "";
  return `    ${name}: ${valueText(before)} -> ${valueText(after)}${unlike}`;
}

function valueText(value: unknown): string {
  if (typeof value === "string" && value.includes("\n")) return `(${count(value.split("\n").length, "line")})`;
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= valueLengthMax ? text : `${text.slice(0, valueLengthMax)}…`;
}

function outcome({ diff, dryRun, revision, change, transactions }: ChangeAnswer): string {
  if (diff.length === 0) return `Nothing differs from revision ${revision}.`;
  const amounts = (["create", "update", "delete"] as const).flatMap((action) => {
    const amount = diff.filter((resource) => resource.action === action).length;
    return amount === 0 ? [] : [`${grouped(amount)} ${words[action][dryRun ? 1 : 0]}`];
  });
  const told = amounts.join(", ");
  if (dryRun) return `${told}: nothing was changed, this was a dry run on revision ${revision}`;
  const parts = transactions > 1 ? ` in ${transactions} transactions` : "";
  return `${told}${parts}: revision ${revision} (change ${change ?? "unknown"})`;
}

const words = {
  create: ["created", "to create"],
  update: ["updated", "to update"],
  delete: ["deleted", "to delete"],
} as const;

function confirmLines({ confirm }: ChangeAnswer): readonly string[] {
  if (confirm === undefined) return [];
  const { change, before } = confirm;
  return [`It takes itself back at ${timeText(before)} unless you keep it: headgate confirm ${change}`];
}

function waitedLines({ waited }: ChangeAnswer, paint: Paint): readonly string[] {
  if (waited === undefined) return [];
  const { complete, nodes, reason } = waited;
  if (complete)
    return [paint.good(nodes.length === 1 ? "The gateway runs it." : `All ${nodes.length} gateways run it.`)];
  const behind = nodes.filter(({ ok }) => !ok);
  return [
    ...(reason === undefined ? [] : [paint.bad(reason)]),
    ...behind.map((node) =>
      paint.bad(`${node.id} does not run it: ${node.reason ?? `it runs revision ${node.revision}.`}`),
    ),
  ];
}
