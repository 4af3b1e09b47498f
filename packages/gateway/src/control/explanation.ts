import type { InstanceResource, ServiceResource } from "@headgate/schema";
import type { CircuitText } from "./health/circuits.ts";
import type { StateText } from "./health/instance-state.ts";
import type { PredicateResult } from "../proxy/router/conditions.ts";

/** What would become of one request; plain data, the answer of `POST /v1/explain`. Secrets are redacted. */
export interface Explanation {
  readonly request: {
    readonly method: string;
    readonly target: string;
    /** Absent where the request is refused. */
    readonly host?: string;
    /** What is sent on, unless a step changes it. */
    readonly path?: string;
    readonly search?: string;
    /** What routes are matched on. */
    readonly matchPath?: string;
    readonly client: string;
  };
  readonly outcome: "route" | "not-found" | "method-not-allowed" | "bad-request";
  /** The status of the gateway's own answer where no route takes the request. */
  readonly status?: number;
  /** One sentence. */
  readonly reason: string;
  /** Methods with which a route would take it. */
  readonly allow?: readonly string[];
  readonly route?: {
    readonly name: string;
    readonly alternative: number;
    readonly path: string;
    readonly params: Readonly<Record<string, string>>;
    readonly priority: number;
    readonly timeoutMs?: number;
    /** The request is queued and delivered later; the client gets 202. */
    readonly delivery?: { readonly deadlineMs: number };
    /** The route answers by itself. */
    readonly respond?: { readonly status: number };
    readonly origin?: string;
  };
  /** Alternatives whose host and path take the request, in order of precedence; then those that come closest. */
  readonly candidates: readonly ExplainedCandidate[];
  /** Alternatives that are not listed. */
  readonly leftOut: number;
  /** Steps in the order in which they run; those of a service only when it is chosen. */
  readonly chain: readonly ExplainedStep[];
  readonly destinations: readonly Destination[];
  readonly fallback?: ExplainedService | { readonly respond: { readonly status: number } };
}

export interface ExplainedCandidate {
  readonly route: string;
  /** Index in the route's `match`. */
  readonly alternative: number;
  /** `behind`: it matches in full, and a candidate before it takes the request. */
  readonly verdict: "takes" | "behind" | "fails";
  readonly priority: number;
  readonly predicates: readonly PredicateResult[];
  /** `file:line`. */
  readonly origin?: string;
}

export interface ExplainedStep {
  readonly scope: "global" | "route" | "service";
  readonly service?: string;
  /** As written in the chain. */
  readonly name: string;
  /** The middleware or plugin that runs. */
  readonly middleware: string;
  readonly settings: unknown;
  readonly when: readonly PredicateResult[];
  /** Whether every condition of `when` holds for this request. */
  readonly runs: boolean;
  readonly origin?: string;
  /** Where the named configuration stands. */
  readonly defined?: string;
}

export interface ExplainedService {
  readonly service: string;
  readonly exists: boolean;
  readonly protocol?: ServiceResource["protocol"];
  readonly balance?: ServiceResource["balance"];
  readonly timeouts?: ServiceResource["timeouts"];
  readonly retry?: ServiceResource["retry"];
  readonly pool?: ServiceResource["pool"];
  /** With their state, where a gateway that runs was asked. */
  readonly instances: readonly (InstanceResource & { readonly origin?: string } & Partial<StateText>)[];
  /** Its own circuit breaker, where it has one. */
  readonly circuit?: CircuitText;
  /** So few instances are well that health is not looked at: all are used. */
  readonly panic?: true;
  readonly origin?: string;
}

export interface Destination extends ExplainedService {
  readonly weight: number;
  /** Of the route's traffic, 0..1. */
  readonly share: number;
}
