import type { Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { confirmPrefix, parseKey, resourceKey } from "../layout.ts";
import type { ReportedProblem } from "../report.ts";
import type { ApplyResult, ChangeAction, ChangeOptions, Judge, Judgement } from "./change.ts";
import { ChangeError } from "./change-error.ts";
import { differenceOf } from "./difference.ts";
import { confirmMsMax, confirmMsMin, pendingOf, putPending, undoBytesMax } from "./pending.ts";
import { toResourceWrite, type Plan, type PlannedWrite } from "./plan.ts";
import type { Basis, Replica } from "./read.ts";
import { newChangeId } from "./record.ts";
import { waitForNodes, type NodeState, type WaitTarget } from "./wait.ts";
import { noProgress, writePlan, type ChangeJob, type Progress, type WriteParts } from "./write.ts";

export interface MakeParts extends WriteParts {
  readonly random: Random;
  readonly log: Log;
  readonly judge: Judge;
  readonly replica: Replica;
  readonly nodes: () => readonly NodeState[];
  readonly onNodes: (listener: () => void) => () => void;
}

/** A change that is asked for. */
export interface ChangeRequest {
  readonly action: ChangeAction;
  readonly options: ChangeOptions;
  /** What is stored now. */
  readonly read: () => Promise<Basis>;
  /** What to write; may throw a ChangeError. */
  readonly plan: (basis: Basis) => Plan;
}

export interface Made {
  readonly result: ApplyResult;
  readonly written: readonly PlannedWrite[];
}

/** So often a change is planned anew because others changed the same resources meanwhile. */
const triesMax = 5;

/** So many changes may wait for confirmation at once: every gateway keeps a timer and the way back for each. */
const pendingMax = 100;

/** How long the answer waits for this gateway to see its own write, so that who reads here next finds it. */
const ownWriteMs = 1_000;

const nothingToJudge: Judgement = { problems: [], unreachable: [] };

/** Reads, plans, judges, writes, records and waits: every change goes this way. */
export async function makeChange(parts: MakeParts, request: ChangeRequest): Promise<Made> {
  const { options } = request;
  const dryRun = options.dryRun === true;
  checkOptions(parts, options);
  const progress = noProgress();
  let job: ChangeJob | undefined;
  for (let tries = 1; ; tries++) {
    const basis = await request.read();
    const plan = request.plan(basis);
    refuse(plan.problems, progress);
    const unchanged = plan.writes.length === 0 && progress.transactions === 0;
    const judgement = unchanged
      ? nothingToJudge
      : await parts.judge(plan.writes.map(toResourceWrite), { traffic: dryRun });
    refuse(judgement.problems, progress);
    const warnings = [...plan.problems, ...judgement.problems];
    const told = { dryRun, warnings, unreachable: judgement.unreachable };
    if (unchanged || dryRun) {
      const traffic = judgement.traffic === undefined ? {} : { traffic: judgement.traffic };
      const result = { change: null, transactions: 0, diff: differenceOf(plan.writes), ...traffic };
      const waited = dryRun ? {} : await waitFor(parts, options, targetOf(parts, basis, plan));
      return { result: { ...told, revision: basis.revision, ...result, ...waited }, written: plan.writes };
    }
    job ??= startJob(parts, request, basis);
    if ((await writePlan(parts, basis, plan.writes, job, progress)) === "done") {
      const result = await finish(parts, job, progress, options);
      return { result: { ...told, ...result }, written: progress.written };
    }
    if (tries === triesMax) throw outrun(progress);
  }
}

function refuse(problems: readonly ReportedProblem[], { transactions, written }: Progress): void {
  const errors = problems.filter(({ severity }) => severity === "error");
  if (errors.length === 0) return;
  const [first] = errors;
  const more = errors.length === 1 ? "" : ` (and ${errors.length - 1} more)`;
  const place = first?.path ? `${first.path}: ` : "";
  const reason = `${place}${first?.message ?? ""}${more}`;
  if (transactions === 0) throw new ChangeError("invalid", `Nothing was changed: ${reason}.`, { problems });
  const message = `After ${written.length} resources were written others changed what the rest refers to: ${reason}.`;
  throw new ChangeError("interrupted", message, { problems });
}

function outrun({ transactions, written }: Progress): ChangeError {
  const names = written.length > 0 ? ` ${written.length} resources were written before that.` : "";
  const message = `Others changed the same resources ${triesMax} times meanwhile: repeat the command.${names}`;
  return new ChangeError(transactions > 0 ? "interrupted" : "conflict", message);
}

function checkOptions({ prefix, replica }: MakeParts, { confirmMs, dryRun }: ChangeOptions): void {
  if (confirmMs === undefined || dryRun === true) return;
  if (!(confirmMs >= confirmMsMin && confirmMs <= confirmMsMax)) {
    throw new ChangeError("bad-request", "The time to confirm must be between 1s and 24h.");
  }
  let pending = 0;
  for (const key of replica.kvs.keys()) if (key.startsWith(confirmPrefix(prefix))) pending++;
  if (pending < pendingMax) return;
  throw new ChangeError("conflict", `${pending} changes wait for confirmation: confirm some, or wait.`);
}

function startJob(parts: MakeParts, { action, options }: ChangeRequest, { recordKeys }: Basis): ChangeJob {
  const { prefix, clock, random } = parts;
  const ids = recordKeys.map((key) => parseKey(prefix, key)).flatMap((parsed) => ("id" in parsed ? [parsed.id] : []));
  const wallMs = clock.wall();
  const id = newChangeId(wallMs, ids, random);
  const { author, message = "", confirmMs } = options;
  const first: ChangeJob["first"] = (all, whole) => {
    if (confirmMs === undefined) return [];
    const deadlineWallMs = wallMs + confirmMs;
    const pending = pendingOf({ change: id, author, deadlineWallMs, durationMs: confirmMs, whole }, all);
    const operation = putPending(prefix, pending);
    if (operation.type === "put" && operation.put.value.length > undoBytesMax) {
      const text = `The way back takes more than ${undoBytesMax} bytes: apply it in parts, or without confirmation.`;
      throw new ChangeError("bad-request", text);
    }
    return [operation];
  };
  const facts = { author, time: new Date(wallMs).toISOString(), message, action };
  return { id, facts, guards: [], first, last: [] };
}

type Finished = Pick<ApplyResult, "revision" | "change" | "transactions" | "diff" | "confirm" | "waited">;

async function finish(parts: MakeParts, job: ChangeJob, progress: Progress, options: ChangeOptions): Promise<Finished> {
  const { revision, resourcesRevision, transactions, written, firstRevision } = progress;
  const { id, facts } = job;
  const fields = { change: id, revision, action: facts.action, author: facts.author, resources: written.length };
  parts.log.info(fields, "the configuration in the store was changed");
  await parts.replica.caughtUp(revision, ownWriteMs);
  const { confirmMs } = options;
  const target = { revision: resourcesRevision, sinceRevision: firstRevision, resources: written };
  const before = confirmMs === undefined ? "" : new Date(Date.parse(facts.time) + confirmMs).toISOString();
  return {
    revision,
    change: id,
    transactions,
    diff: differenceOf(written),
    ...(confirmMs === undefined ? {} : { confirm: { change: id, before } }),
    ...(await waitFor(parts, options, target)),
  };
}

/** Where nothing had to be written: every gateway should run what is there. */
function targetOf({ prefix }: MakeParts, { resources }: Basis, { wanted }: Plan): WaitTarget {
  const held = wanted.map(({ kind, name }) => resources.get(resourceKey(prefix, kind, name))?.modRevision ?? 0);
  return {
    revision: held.reduce((most, revision) => Math.max(most, revision), 0),
    sinceRevision: 0,
    resources: wanted,
  };
}

async function waitFor(
  parts: MakeParts,
  { waitMs }: ChangeOptions,
  target: WaitTarget,
): Promise<Pick<ApplyResult, "waited">> {
  return waitMs === undefined ? {} : { waited: await waitForNodes(target, waitMs, parts) };
}
