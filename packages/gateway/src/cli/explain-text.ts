import { formatDuration } from "@headgate/schema";
import type { StateText } from "../control/health/instance-state.ts";
import type {
  Destination,
  ExplainedCandidate,
  ExplainedService,
  ExplainedStep,
  Explanation,
} from "../control/explanation.ts";
import { whyText } from "./instances.ts";

/** An explanation as lines for people. */
export function formatExplanation(explanation: Explanation): string {
  const { request, candidates, leftOut, chain, destinations, fallback } = explanation;
  const lines = [`${request.method} ${request.target}`];
  if (request.matchPath !== undefined) {
    lines.push(
      `  host ${request.host === "" ? "(none)" : (request.host ?? "(none)")}, client ${request.client}`,
      `  matched on ${request.matchPath}, sent on as ${request.path ?? ""}${request.search ?? ""} unless a step changes it`,
    );
  }
  lines.push("", explanation.reason, ...routeLines(explanation));
  if (candidates.length > 0)
    lines.push("", "Candidates, in order of precedence:", ...candidates.flatMap(candidateLines));
  if (leftOut > 0) lines.push(`  ${leftOut} more of other hosts or paths are not listed.`);
  if (chain.length > 0) lines.push("", "Chain, outermost first:", ...chain.flatMap(stepLines));
  if (destinations.length > 0) lines.push("", "Services:", ...destinations.flatMap(destinationLines));
  if (fallback !== undefined) {
    lines.push("", "Fallback:");
    if ("service" in fallback) lines.push(...serviceLines(fallback, ""));
    else lines.push(`  an answer with status ${fallback.respond.status}`);
  }
  return `${lines.join("\n")}\n`;
}

function routeLines({ route }: Explanation): string[] {
  if (route === undefined) return [];
  const facts = [`path ${route.path}`, `priority ${route.priority}`];
  if (route.timeoutMs !== undefined) facts.push(`timeout ${formatDuration(route.timeoutMs)}`);
  if (route.delivery !== undefined) {
    facts.push(`answers 202 and delivers within ${formatDuration(route.delivery.deadlineMs)}`);
  }
  if (route.respond !== undefined) facts.push(`answers ${route.respond.status} by itself`);
  const parameters = Object.entries(route.params).map(([name, value]) => `    :${name} is ${JSON.stringify(value)}`);
  return [`  ${facts.join(", ")}${origin(route.origin)}`, ...parameters];
}

const verdicts = {
  takes: "takes it",
  behind: "matches too, and comes later",
  fails: "does not match",
} as const;

function candidateLines(candidate: ExplainedCandidate, index: number): string[] {
  const { route, alternative, verdict, predicates } = candidate;
  const name = alternative === 0 ? route : `${route}, alternative ${alternative + 1}`;
  return [
    `  ${index + 1}. ${name}: ${verdicts[verdict]}${origin(candidate.origin)}`,
    ...predicates.map(
      ({ predicate, expected, actual, pass }) =>
        `       ${pass ? "pass" : "FAIL"}  ${predicate}: ${expected}; is ${actual}`,
    ),
  ];
}

function stepLines(step: ExplainedStep, index: number): string[] {
  const { scope, service, name, middleware, settings, when, runs } = step;
  const place = service === undefined ? scope : `${scope} ${service}`;
  const what = name === middleware ? name : `${name} = ${middleware}`;
  const written = settings === undefined ? "" : ` ${JSON.stringify(settings)}`;
  const where =
    step.defined === undefined ? origin(step.origin) : origin(`${step.origin ?? "?"}, defined at ${step.defined}`);
  return [
    `  ${index + 1}. ${runs ? "" : "(skipped) "}${what}${written}, ${place}${where}`,
    ...when.map(
      ({ predicate, expected, actual, pass }) =>
        `       ${pass ? "pass" : "FAIL"}  when ${predicate}: ${expected}; is ${actual}`,
    ),
  ];
}

function destinationLines(destination: Destination): string[] {
  return serviceLines(destination, ` ${Math.round(destination.share * 1000) / 10} %,`);
}

function serviceLines(service: ExplainedService, share: string): string[] {
  if (!service.exists) return [`  ${service.service}:${share} there is no such service`];
  const facts = service.balance === undefined ? [] : [balanceText(service.balance)];
  const { timeouts, retry } = service;
  if (timeouts !== undefined) {
    facts.push(
      `connect ${formatDuration(timeouts.connectMs)}`,
      `first byte ${formatDuration(timeouts.firstByteMs)}`,
      `idle ${formatDuration(timeouts.idleMs)}`,
    );
  }
  if (retry !== undefined) facts.push(retryText(retry.attempts));
  return [
    `  ${service.service}:${share} ${facts.join(", ")}${origin(service.origin)}`,
    ...circuitLines(service),
    ...service.instances.map(
      ({ address, weight, zone, origin: where, state, ...rest }) =>
        `    ${address} weight ${weight}${zone === undefined ? "" : ` zone ${zone}`}` +
        `${state === undefined ? "" : `, ${state}${reasonText(rest)}`}${origin(where)}`,
    ),
    ...(service.panic === true ? ["    Too few are well: health is not looked at, all are used."] : []),
  ];
}

function circuitLines({ circuit }: ExplainedService): string[] {
  if (circuit === undefined) return [];
  return [`    circuit breaker ${circuit.state}${circuit.forced === undefined ? "" : ", held"}${reasonText(circuit)}`];
}

function reasonText(state: Pick<StateText, "reason" | "until">): string {
  const text = whyText(state);
  return text === "" ? "" : `: ${text}`;
}

function balanceText(balance: NonNullable<ExplainedService["balance"]>): string {
  switch (balance.policy) {
    case "hash":
      return balance.key.from === "client" ? "hash of the client" : `hash of ${balance.key.from} ${balance.key.name}`;
    case "sticky":
      return `sticky by cookie ${balance.cookie}`;
    default:
      return balance.policy;
  }
}

function retryText(attempts: number): string {
  if (attempts === 0) return "no retry";
  return `up to ${attempts} ${attempts === 1 ? "retry" : "retries"}`;
}

function origin(where: string | undefined): string {
  return where === undefined ? "" : ` (${where})`;
}
