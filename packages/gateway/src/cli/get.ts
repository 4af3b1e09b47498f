import { suggestion } from "@headgate/schema";
import type { Command } from "commander";
import type { Item } from "../control/catalog/view.ts";
import { resourceNameProblem, type Kind } from "../control/layout.ts";
import { redactSettings } from "../control/redact.ts";
import {
  adminCommand,
  runCommand,
  type CommandContext,
  type CommandSurroundings,
  type CommonFlags,
} from "./admin-command.ts";
import { problemText, RefusedError } from "./command-error.ts";
import { kindOf, resourcePath } from "./kinds.ts";
import { count, table, written, type Paint } from "./output.ts";
import { UsageError } from "./settings.ts";
import { summaryOf } from "./summary.ts";

/** Adds `get`. `exit` is given the exit code when the command is done. */
export function getCommand(program: Command, io: CommandSurroundings, exit: (code: number) => void): void {
  const examples = ["routes", "route users -o yaml > users.yaml"];
  adminCommand(program, "get", "show the resources of a kind, or one of them", examples)
    .argument("<kind>", "routes, services, middlewares, consumers, certificates, plugins or settings")
    .argument("[name]", "one resource; of settings there is global")
    .action(async (kind: string, name: string | undefined, flags: CommonFlags) => {
      const wanted = kindOf(kind);
      exit(
        await runCommand(flags, io, (context) =>
          name === undefined ? list(wanted, context) : one(wanted, name, context),
        ),
      );
    });
}

interface ItemList {
  readonly revision: number;
  readonly items: readonly Item[];
}

async function list(kind: Kind, { client, print, format, paint }: CommandContext): Promise<number> {
  const path = `/v1/${kind}`;
  if (format === "json" || format === "yaml") {
    print((await client.json({ path })).value, () => "");
    return 0;
  }
  const answer = await client.json({ path, query: { details: "true" } });
  const found = answer.value as ItemList; // what the admin API answers
  print(found, ({ items }) => (items.length === 0 ? `There are no ${kind}.\n` : itemTable(items, paint)));
  return 0;
}

async function one(kind: Kind, name: string, { client, print, format, paint }: CommandContext): Promise<number> {
  checkName(kind, name);
  const path = resourcePath(kind, name);
  try {
    if (format === "json" || format === "yaml") {
      print((await client.json({ path })).value, () => "");
      return 0;
    }
    const answer = await client.json({ path, query: { details: "true" } });
    const found = answer.value as Item; // what the admin API answers
    print(found, (item) => (format === "table" ? itemTable([item], paint) : itemText(item, paint)));
    return 0;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.status !== 404) throw error;
    const { value: there } = await client.json({ path: `/v1/${kind}` });
    const hint = suggestion(name, Object.keys(Object(there))) ?? `headgate get ${kind} lists those there are.`;
    const { status, problems, answer } = error;
    const facts = { status, problems, cause: error, ...(answer === undefined ? {} : { answer }) };
    throw new RefusedError(1, `There is no ${kind}/${name}; ${hint}`, facts);
  }
}

/** Throws a UsageError for what no resource of the kind can be called. */
export function checkName(kind: Kind, name: string): void {
  const problem = resourceNameProblem(kind, name);
  if (problem !== undefined) throw new UsageError(`${problem.charAt(0).toUpperCase()}${problem.slice(1)}.`);
}

function itemTable(items: readonly Item[], paint: Paint): string {
  const rows = items.map((item) => {
    const where = item.revision === null ? "file" : String(item.revision);
    return [item.name, where, stateOf(item, paint), summaryOf(item.kind, item.value)];
  });
  const problems = items.flatMap((item) => item.problems.map((problem) => `${problemText(problem)}\n`));
  return table(["NAME", "REVISION", "STATE", "WHAT"], rows) + (problems.length === 0 ? "" : `\n${problems.join("")}`);
}

function stateOf({ live, problems }: Item, paint: Paint): string {
  const warnings = problems.filter(({ severity }) => severity === "warning").length;
  if (problems.length > warnings) return paint.bad(live ? "live, with errors" : "rejected");
  if (!live) return paint.doubtful("not live yet");
  return warnings === 0 ? paint.good("live") : paint.doubtful(`live, ${count(warnings, "warning")}`);
}

/** One resource as YAML under what is known of it; without secrets, since people look at it. */
function itemText(item: Item, paint: Paint): string {
  const { kind, name, revision, source, value, problems } = item;
  const where = source === "file" ? "of a file" : `revision ${revision ?? 0}`;
  const shown = redactSettings(value);
  const hidden = JSON.stringify(shown) === JSON.stringify(value) ? [] : ["secrets are hidden: -o yaml shows them"];
  const facts = [`${kind}/${name}, ${where}, ${stateOf(item, paint)}`, ...hidden, ...problems.map(problemText)];
  return `${facts.map((fact) => `# ${fact.replaceAll("\n", "\n# ")}\n`).join("")}${written(shown, "yaml")}`;
}
