import { seededRandom } from "../kit/clock.ts";
import { escapeBytes } from "../kit/wire.ts";
import { generateRequests, generateResponses } from "./generate.ts";
import { compare, type Seen, type Verdict } from "./outcome.ts";
import { nodeRequests, nodeResponses, oursRequests, oursResponses } from "./parsers.ts";

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Share of the inputs that are responses. Default 0.25. */
  readonly responses?: number;
  /** Disagreements to collect before stopping. Default 20. */
  readonly failuresMax?: number;
}

export interface FuzzFailure {
  /** With the seed: which input; `fuzz --seed S --only N` runs it alone. */
  readonly index: number;
  readonly kind: "request" | "response";
  readonly reason: string;
  /** The bytes, escaped. */
  readonly input: string;
}

export interface FuzzReport {
  inputs: number;
  /** Messages both parsers read in full and alike. */
  messages: number;
  /** Inputs that node takes and ours refuses, by our reason. */
  readonly stricter: Map<string, number>;
  /** Inputs where ours waits for more and node has refused, and no continuation tried made ours accept. */
  undecided: number;
  readonly failures: FuzzFailure[];
}

type Kind = FuzzFailure["kind"];

/**
 * What may follow bytes that ours still waits on. Where node has refused a beginning, nothing that follows makes it
 * valid; so ours must not accept any of these.
 */
const continuations = [
  "\r\n\r\n",
  "\n",
  "\n\r\n",
  "\r\n0\r\n\r\n",
  "0\r\n\r\n",
  "\r\nHost: a\r\n\r\n",
  " / HTTP/1.1\r\nHost: a\r\n\r\n",
  " HTTP/1.1\r\nHost: a\r\n\r\n",
  "1\r\nHost: a\r\n\r\n",
  ": a\r\nHost: a\r\n\r\n",
  "aaaaaaaaaaaaaaaaaaaa\r\n0\r\n\r\n",
];

function read(kind: Kind, text: string, method: string): { ours: Seen; theirs: Seen } {
  return kind === "request"
    ? { ours: oursRequests(text), theirs: nodeRequests(text) }
    : { ours: oursResponses(text, method), theirs: nodeResponses(text, method) };
}

/** Judges one input; an undecided one is continued in every way known. */
export function judge(kind: Kind, text: string, method = "GET"): Verdict & { messages: number } {
  const { ours, theirs } = read(kind, text, method);
  const verdict = compare(ours, theirs);
  const messages = Math.min(ours.messages.length, theirs.messages.length);
  if (verdict.kind !== "undecided") return { ...verdict, messages };
  const accepted = ours.messages.filter((message) => message.complete).length;
  for (const continuation of continuations) {
    const longer = kind === "request" ? oursRequests(text + continuation) : oursResponses(text + continuation, method);
    if (longer.messages.filter((message) => message.complete).length > accepted) {
      return {
        kind: "differs",
        reason: `node: ${theirs.reason}; ours accepts with ${escapeBytes(continuation)} behind it`,
        messages,
      };
    }
  }
  return { ...verdict, messages };
}

/** The input with that index, whatever was run before it. */
export function inputAt(options: FuzzOptions, index: number): { kind: Kind; text: string; method: string } {
  const random = seededRandom(Math.imul(options.seed, 0x9e3779b1) + index);
  const kind = random() < (options.responses ?? 0.25) ? "response" : "request";
  const method = random() < 0.1 ? "HEAD" : "GET";
  return { kind, method, text: kind === "request" ? generateRequests(random) : generateResponses(random) };
}

/** Compares the gateway's parsers with node's on generated inputs. `progress` is called every 100,000 inputs. */
export function fuzz(options: FuzzOptions, progress: (report: FuzzReport) => void = () => undefined): FuzzReport {
  const report: FuzzReport = { inputs: 0, messages: 0, stricter: new Map(), undecided: 0, failures: [] };
  for (let index = 0; index < options.inputs && report.failures.length < (options.failuresMax ?? 20); index++) {
    const { kind, text, method } = inputAt(options, index);
    const verdict = judge(kind, text, method);
    report.inputs++;
    report.messages += verdict.messages;
    if (verdict.kind === "undecided") report.undecided++;
    if (verdict.kind === "stricter")
      report.stricter.set(verdict.reason, (report.stricter.get(verdict.reason) ?? 0) + 1);
    if (verdict.kind === "differs")
      report.failures.push({ index, kind, reason: verdict.reason, input: escapeBytes(text) });
    if (report.inputs % 100_000 === 0) progress(report);
  }
  return report;
}
