import type { ReportedLoad } from "./report.ts";

/** Below this share of its processor an instance has room, and to shift load between those that have would be noise. */
const cpuBusy = 0.7;
/** An instance that takes longer than others by less than this factor may have the harder requests. */
const latencyFactor = 2;
/** However loaded, an instance costs at most so many times as much: reports are seconds old when they are read. */
const biasMax = 4;

/**
 * By how much each instance of a service is to be thought more expensive for the load it reports; at least 1, in the
 * order given. Flat where all is well and bounded where it is not: figures that are seconds old and move everybody's
 * traffic at once would make load swing from one instance to the other.
 */
export function biasesOf(loads: readonly (ReportedLoad | undefined)[]): readonly number[] {
  const typicalMs = lowerMedian(loads.flatMap((load) => load?.requestLatencyMs ?? []));
  return loads.map((load) => (load === undefined ? 1 : Math.max(cpuBias(load), latencyBias(load, typicalMs))));
}

/** 1 up to 70 % of the processor, from there in a straight line to 4 at all of it. */
function cpuBias({ cpuUsage = 0 }: ReportedLoad): number {
  return 1 + (biasMax - 1) * Math.max(0, (cpuUsage - cpuBusy) / (1 - cpuBusy));
}

/** Half of how many times longer its requests take than is typical for the service. */
function latencyBias({ requestLatencyMs = 0 }: ReportedLoad, typicalMs: number): number {
  if (typicalMs <= 0) return 1;
  return Math.min(biasMax, Math.max(1, requestLatencyMs / typicalMs / latencyFactor));
}

/** Of two the smaller: then one that is slow stands out also among two. 0 without any. */
function lowerMedian(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length / 2) - 1] ?? 0;
}
