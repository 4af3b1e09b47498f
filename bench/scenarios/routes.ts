import { oneLine } from "../kit/bench.ts";
import { headgateDocument } from "../kit/documents.ts";
import { cpuRatio, loadTable, measureRounds } from "../kit/rounds.ts";
import { startHeadgate } from "../kit/targets.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import type { Contender } from "../kit/rounds.ts";
import type { Check, ScenarioResult } from "../kit/results.ts";

/** What the number of routes costs: 10 against 10,000, requests spread over all of them. */
export const routesScenario: Scenario = { name: "routes", run };

const title = "10 against 10,000 routes, 64 connections";
const counts = [10, 10_000] as const;

async function run(bench: Bench): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack();
  const notes: string[] = [];
  const contenders: Contender[] = [];
  try {
    for (const routes of counts) {
      const document = headgateDocument({ upstreamPort: bench.upstream.port, routes });
      const running = stack.use(await startHeadgate(`routes-${routes}`, document, bench.dir));
      contenders.push({ name: `${routes} routes`, running, load: { path: "/", connections: 64, routes } });
    }
  } catch (error) {
    notes.push(`headgate did not run: ${oneLine(error)}`);
    return { name: "routes", title, columns: [], rows: [], checks: [], notes };
  }
  const measured = await measureRounds(bench, contenders);
  const value = cpuRatio(measured, "10000 routes", "10 routes");
  const what = "CPU per request with 10,000 routes against 10";
  const checks: Check[] = [{ what, value, bound: "at most", limit: 1.1, unit: "×" }];
  return { name: "routes", title, ...loadTable(measured), checks, notes, rounds: measured };
}
