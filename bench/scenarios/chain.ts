import { oneLine, startTargets } from "../kit/bench.ts";
import { benchToken, headgateDocument } from "../kit/documents.ts";
import { loadTable, measureRounds } from "../kit/rounds.ts";
import { startHeadgate } from "../kit/targets.ts";
import type { Bench, Scenario } from "../kit/bench.ts";
import type { Contender } from "../kit/rounds.ts";
import type { ScenarioResult } from "../kit/results.ts";

/** What request-id, jwt and rate-limit cost: the same gateway without and with them, and nginx without anything. */
export const chainScenario: Scenario = { name: "chain", run };

const title = "No middleware against request-id + jwt + rate-limit, 64 connections";

async function run(bench: Bench): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack();
  const notes = ["Metrics are on in both. The token is the same in every request, as one client's would be."];
  const started = await startTargets(bench, stack, { among: ["nginx"] });
  notes.push(...started.notes);
  const upstreamPort = bench.upstream.port;
  const load = { path: "/", connections: 64, headers: { authorization: `Bearer ${benchToken(bench.wallMs)}` } };
  const contenders: Contender[] = started.running.map((running) => ({ name: running.name, running, load }));
  try {
    const bare = stack.use(await startHeadgate("headgate", headgateDocument({ upstreamPort }), bench.dir));
    const full = stack.use(await startHeadgate("chain", headgateDocument({ upstreamPort, chain: true }), bench.dir));
    contenders.push({ name: "headgate", running: bare, load });
    contenders.push({ name: "headgate, 3 middlewares", running: full, load });
  } catch (error) {
    notes.push(`headgate did not run: ${oneLine(error)}`);
  }
  const measured = await measureRounds(bench, contenders);
  return { name: "chain", title, ...loadTable(measured), checks: [], notes, rounds: measured };
}
