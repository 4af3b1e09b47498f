import { startTargets } from "../kit/bench.ts";
import { cpuRatio, loadTable, measureRounds } from "../kit/rounds.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import type { Measured } from "../kit/rounds.ts";
import type { Check, ScenarioResult } from "../kit/results.ts";
import type { Load } from "../kit/wrk.ts";

interface LoadPlan {
  readonly name: string;
  readonly title: string;
  readonly load: Omit<Load, "seconds">;
  readonly checks?: (measured: readonly Measured[]) => Check[];
}

const plans: readonly LoadPlan[] = [
  { name: "small-1", title: "Answers of 157 bytes, 1 connection", load: { path: "/", connections: 1 } },
  {
    name: "small-64",
    title: "Answers of 157 bytes, 64 connections",
    load: { path: "/", connections: 64 },
    checks: smallAnswerChecks,
  },
  { name: "small-1000", title: "Answers of 157 bytes, 1,000 connections", load: { path: "/", connections: 1000 } },
  { name: "body-64k", title: "Answers of 64 KiB, 64 connections", load: { path: "/files/64k", connections: 64 } },
  { name: "body-1m", title: "Answers of 1 MiB, 64 connections", load: { path: "/files/1m", connections: 64 } },
  {
    name: "upload-64k",
    title: "Uploads of 64 KiB, 64 connections",
    load: { path: "/upload", connections: 64, bodyBytes: 64 * 1024 },
  },
];

/** The same load on every target. */
export const loadScenarios: readonly Scenario[] = plans.map((plan) => ({
  name: plan.name,
  run: (bench) => runPlan(bench, plan),
}));

async function runPlan(bench: Bench, plan: LoadPlan): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack();
  const { running, notes } = await startTargets(bench, stack, { sink: plan.load.bodyBytes !== undefined });
  const contenders = running.map((each) => ({ name: each.name, running: each, load: plan.load }));
  const measured = await measureRounds(bench, contenders);
  const checks = plan.checks?.(measured) ?? [];
  return { name: plan.name, title: plan.title, ...loadTable(measured), checks, notes, rounds: measured };
}

function smallAnswerChecks(measured: readonly Measured[]): Check[] {
  const limits = { nginx: 1.6, fastify: 0.35 } as const;
  return Object.entries(limits).flatMap(([base, limit]): Check[] => {
    const value = cpuRatio(measured, "headgate", base);
    if (Number.isNaN(value)) return [];
    return [{ what: `CPU per request against ${base}`, value, bound: "at most", limit, unit: "×" }];
  });
}
