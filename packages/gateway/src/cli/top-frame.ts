import { fitting, grouped, table, type Paint } from "./output.ts";
import { nodeTable, notUpTable, problemLines, type StatusAnswer } from "./status.ts";
import type { Rates, RouteRates } from "./traffic.ts";

/** What `top` shows at one time. */
export interface Frame {
  /** Of the last answer. */
  readonly status: StatusAnswer;
  /** Undefined while the gateway cannot be reached. */
  readonly rates: Rates | undefined;
  /** Why it cannot. */
  readonly failure: string | undefined;
}

/** Routes are the longest part: of a low window they get what is left, but never less. */
const routesMin = 3;
const problemsMax = 10;
const nodesMax = 20;
const notUpMax = 10;

/** A frame as lines that fit into so many columns and rows. Pure. */
export function frameLines(
  { status, rates, failure }: Frame,
  paint: Paint,
  columns: number,
  rows: number,
): readonly string[] {
  const { node, revision, nodes, configSource, health } = status;
  const cached = configSource === "cache" ? paint.doubtful(" (saved: the store does not answer)") : "";
  const head = [
    `${paint.strong("headgate top")}  ${node ?? status.admin}  revision ${revision}${cached}  ${status.phase}`,
  ];
  if (rates === undefined)
    return [...head, "", paint.bad(failure ?? "")].map((line) => fitting(line, columns)).slice(0, rows);
  const problems = problemLines(status).map((line) => paint.bad(line.replaceAll(/\s*\n\s*/g, "; ")));
  const foot = [
    ...(nodes.length > 1 ? ["", ...limited(linesOf(nodeTable(nodes, paint)), nodesMax, "gateways")] : []),
    ...(health.notUp.length === 0 ? [] : ["", ...limited(linesOf(notUpTable(health, paint)), notUpMax, "instances")]),
    ...(problems.length === 0 ? [] : ["", ...limited(problems, problemsMax, "problems")]),
  ];
  const summary = [...head, ...totals(rates, paint), ""];
  const [headings = "", ...routes] = linesOf(routeTable(rates.routes, paint));
  const left = Math.max(routesMin, rows - summary.length - foot.length - 1);
  const shown = routes.length === 0 ? ["No requests."] : [paint.quiet(headings), ...limited(routes, left, "routes")];
  return [...summary, ...shown, ...foot].map((line) => fitting(line, columns)).slice(0, rows);
}

function totals({ all, connections, cpu, residentBytes, utilization }: Rates, paint: Paint): readonly string[] {
  const facts = [
    `${rate(all.requestsPerSecond)} requests/s`,
    `4xx ${rate(all.clientErrorsPerSecond)}/s`,
    alarm(`5xx ${rate(all.serverErrorsPerSecond)}/s`, all.serverErrorsPerSecond > 0, paint),
    `p50 ${timeOf(all.p50Seconds)}`,
    `p99 ${timeOf(all.p99Seconds)}`,
  ];
  const loops = utilization.map((share) => alarm(percent(share), share > 0.9, paint)).join(" ");
  const process = [
    `${grouped(connections)} connections`,
    `CPU ${percent(cpu)}`,
    `memory ${grouped(residentBytes / 1024 ** 2)} MiB`,
    ...(loops === "" ? [] : [`event loops ${loops}`]),
  ];
  return [facts.join("   "), process.join("   ")];
}

function routeTable(routes: readonly RouteRates[], paint: Paint): string {
  const rows = routes.map((line) => [
    line.route === "" ? "(no route)" : line.route,
    rate(line.requestsPerSecond),
    rate(line.clientErrorsPerSecond),
    alarm(rate(line.serverErrorsPerSecond), line.serverErrorsPerSecond > 0, paint),
    timeOf(line.p50Seconds),
    timeOf(line.p99Seconds),
  ]);
  return table(["ROUTE", "REQUESTS/S", "4XX/S", "5XX/S", "P50", "P99"], rows);
}

/** So many lines, the last of which tells how many there are more. */
function limited(lines: readonly string[], most: number, what: string): readonly string[] {
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most - 1), `and ${grouped(lines.length - most + 1)} more ${what}`];
}

function linesOf(text: string): readonly string[] {
  return text.split("\n").filter((line) => line !== "");
}

function alarm(text: string, is: boolean, paint: Paint): string {
  return is ? paint.bad(text) : text;
}

function rate(perSecond: number): string {
  return perSecond < 100 ? perSecond.toFixed(1) : grouped(perSecond);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function timeOf(seconds: number | undefined): string {
  if (seconds === undefined) return "-";
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return `${(seconds * 1_000).toFixed(seconds < 0.01 ? 2 : 1)} ms`;
}
