import type { DiscoverSettings, ServiceResource } from "@headgate/schema";
import type { ServiceMemory } from "../../proxy/upstream/memory.ts";
import { holdMs } from "../registry/registry.ts";
import type { FoundInstance } from "../registry/source.ts";
import type { CheckState } from "./check-state.ts";
import { stateOf, type InstanceFacts, type InstanceState } from "./instance-state.ts";
import { hasStatus, type InstanceReport } from "./report.ts";
import type { InstanceViews, ServiceViews, ViewParts } from "./views.ts";

/** An instance that the workers use. */
export interface UsedInstance {
  readonly views: InstanceViews;
  /** Its newest report; whether it still counts is looked at when it is. */
  report: InstanceReport | undefined;
  /** What was last written of its report. */
  isReportedUp: boolean;
  bias: number;
  /** What was last written of its checks. */
  isCheckedWell: boolean;
  /** Why it was ejected last, as far as is known. */
  ejectionReason?: string;
}

/** What people are shown, and since when. */
export interface ShownState extends InstanceState {
  readonly sinceWallMs: number;
}

/** A service that runs, as its health is watched. */
export interface WatchedService {
  readonly name: string;
  resource: ServiceResource;
  memory: ServiceMemory;
  /** Where its instances come from, beside those that are written down. */
  discovery: DiscoverSettings | undefined;
  /** What its instances report under. */
  reportName: string;
  /** By address. */
  readonly used: Map<string, UsedInstance>;
  /** Also those that are down or drain, which the workers do not use. */
  registered: ReadonlyMap<string, FoundInstance>;
  readonly shown: Map<string, ShownState>;
  readonly views: ServiceViews;
  /** Those that are looked at each time: they change with time, or have to be told of. */
  readonly lively: Set<string>;
}

/** The state of an instance; `undefined`: it is none of the service's, or not yet. */
export function currentState(
  { resource, discovery, used, registered }: WatchedService,
  address: string,
  check: CheckState | undefined,
  parts: ViewParts,
): InstanceState | undefined {
  const instance = used.get(address);
  const known = registered.get(address);
  // One that announced itself is there when the workers have it.
  if (instance === undefined && (known === undefined || known.status === "UP")) return undefined;
  return stateOf({
    ...(known === undefined ? {} : { registered: registeredFacts(known, discovery) }),
    ...(check === undefined ? {} : { check }),
    ...(instance === undefined ? {} : usedFacts(instance, resource, parts)),
  });
}

function registeredFacts(
  { status, heldSinceMs }: FoundInstance,
  discovery: DiscoverSettings | undefined,
): NonNullable<InstanceFacts["registered"]> {
  if (heldSinceMs === undefined) return { status };
  // Other sources hold them until a later look says the same.
  return { status, held: discovery !== undefined && "etcd" in discovery ? { untilMs: heldSinceMs + holdMs } : {} };
}

function usedFacts(instance: UsedInstance, resource: ServiceResource, parts: ViewParts): InstanceFacts {
  const { views, report } = instance;
  const { slowStartMs = 0, circuitBreaker } = resource;
  const nowMs = parts.clock.now();
  const sinceMs = slowStartMs === 0 ? 0 : views.health.availableSinceMs;
  const circuit = views.circuit(parts)?.facts(circuitBreaker !== undefined);
  return {
    ...(report !== undefined && hasStatus(report, nowMs) ? { reported: report.status } : {}),
    ...(resource.outlierDetection === undefined ? {} : ejectionFacts(instance, nowMs)),
    ...(circuit === undefined ? {} : { circuit }),
    ...(sinceMs > 0 && sinceMs + slowStartMs > nowMs ? { startingUntilMs: sinceMs + slowStartMs } : {}),
  };
}

function ejectionFacts({ views, ejectionReason }: UsedInstance, nowMs: number): Pick<InstanceFacts, "ejection"> {
  const { outlier } = views;
  const place = outlier?.place(nowMs) ?? "in";
  if (outlier === undefined || place === "in") return {};
  if (place === "probation") return { ejection: { isOver: true } };
  const reason = ejectionReason === undefined ? {} : { reason: ejectionReason };
  return { ejection: { isOver: false, untilMs: nowMs + outlier.ejectedForMs(nowMs), ...reason } };
}
