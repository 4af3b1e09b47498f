import type { InstanceResource } from "@headgate/schema";
import type { Clock } from "../../core/clock.ts";
import { zoneShareMin } from "../../proxy/upstream/balancer/selection.ts";
import { isoTime } from "./circuit.ts";
import { takesRequests, type StateText } from "./instance-state.ts";
import type { ShownState, WatchedService } from "./watched.ts";

/** Instances that a status names one by one; of more only the number is told. */
const notUpMax = 100;

/** How the instances of all services are. */
export interface HealthOverview {
  readonly instances: number;
  /** Those that are `up` or `starting`. */
  readonly up: number;
  /** The others, by service and address. */
  readonly notUp: readonly (StateText & { readonly service: string; readonly address: string })[];
  /** How many more there are. */
  readonly more?: number;
}

/** What is shown of an instance, as text. */
export function stateText({ state, reason, sinceWallMs, untilMs }: ShownState, clock: Clock): StateText {
  return {
    state,
    ...(reason === undefined ? {} : { reason }),
    since: new Date(sinceWallMs).toISOString(),
    ...(untilMs === undefined ? {} : { until: isoTime(clock, untilMs) }),
  };
}

export function overviewOf(services: ReadonlyMap<string, WatchedService>, clock: Clock): HealthOverview {
  let instances = 0;
  const others: { readonly service: string; readonly address: string; readonly shown: ShownState }[] = [];
  for (const { name, shown: all } of services.values()) {
    instances += all.size;
    for (const [address, shown] of all) {
      if (shown.state !== "up" && shown.state !== "starting") others.push({ service: name, address, shown });
    }
  }
  others.sort((a, b) => compare(a.service, b.service) || compare(a.address, b.address));
  const named = others.slice(0, notUpMax);
  return {
    instances,
    up: instances - others.length,
    notUp: named.map(({ service, address, shown }) => ({ service, address, ...stateText(shown, clock) })),
    ...(others.length === named.length ? {} : { more: others.length - named.length }),
  };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Whether so few instances of a service take requests that balancers do not look at health: as `Selection` decides. It
 * does not where those of the gateway's own zone do well enough.
 */
export function isPanicking({ resource, shown }: WatchedService, zone: string | undefined): boolean {
  const { instances, panicThreshold = 0, preferZone = true } = resource;
  const members = instances.filter(({ weight }) => weight > 0);
  const available = members.filter(({ address }) => takesRequests(shown.get(address)?.state ?? "up"));
  if (available.length >= panicThreshold * members.length) return false;
  if (zone === undefined || !preferZone) return true;
  const left = weightIn(zone, available);
  return left === 0 || left < zoneShareMin * weightIn(zone, members);
}

function weightIn(zone: string, instances: readonly InstanceResource[]): number {
  return instances.reduce((sum, one) => sum + (one.zone === zone ? one.weight : 0), 0);
}
