import type { ServiceResource } from "@headgate/schema";

/**
 * What all workers and the control thread share of a service: counters, breakers, health. Made by the control thread,
 * one for as long as the service and each of its instances are configured, so that it outlives every snapshot.
 */
export interface ServiceMemory {
  readonly service: SharedArrayBuffer;
  /** By address. */
  readonly instances: Readonly<Record<string, SharedArrayBuffer>>;
  /** There where the service limits its concurrency. */
  readonly concurrency?: SharedArrayBuffer;
}

/**
 * Where the parts of an instance's memory begin, in bytes. A part is one cache line or more, so that what is written at
 * every request (load, workers) does not slow the reading of what seldom changes (health). Times are float64
 * milliseconds of the clock that all threads share; all else is 32-bit integers, used with Atomics.
 */
export const instanceLayout = { health: 0, load: 64, outlier: 128, breaker: 256, workers: 512 } as const;

/** The same for a service as a whole. */
export const serviceLayout = { load: 0, outlier: 64, breaker: 128, workers: 384 } as const;

/** Enough for the state of an adaptive limit. */
export const concurrencyBytes = 8 * 1024;

/*
 * What a worker writes alone lies in cells of its own, and is summed up by who reads it: so nothing is left counted for
 * ever when a worker dies. Cells are numbered by `workerId`, from 1; cell 0 is the control thread's.
 */

/** The attempts under way, and those of them that wait for a head. */
export const instanceCellWords = 2;
/** A cache line: every exchange of every worker writes its own. */
export const serviceCellWords = 16;

const lineBytes = 64;

/** Bytes of the memory of an instance of a gateway with so many workers. */
export function instanceBytes(workers: number): number {
  return instanceLayout.workers + lines((workers + 1) * instanceCellWords * 4);
}

/** Bytes of the memory of a service. */
export function serviceBytes(workers: number): number {
  return serviceLayout.workers + lines((workers + 1) * serviceCellWords * 4);
}

function lines(bytes: number): number {
  return Math.ceil(bytes / lineBytes) * lineBytes;
}

/** Memory for a service as it is configured, with what of `known` it had before. */
export function serviceMemory(
  resource: Pick<ServiceResource, "instances" | "concurrency">,
  workers: number,
  known?: ServiceMemory,
): ServiceMemory {
  const instances = Object.create(null) as Record<string, SharedArrayBuffer>; // without a prototype: for any address
  for (const { address } of resource.instances) {
    instances[address] = known?.instances[address] ?? new SharedArrayBuffer(instanceBytes(workers));
  }
  const service = known?.service ?? new SharedArrayBuffer(serviceBytes(workers));
  if (resource.concurrency === undefined) return { service, instances };
  return { service, instances, concurrency: known?.concurrency ?? new SharedArrayBuffer(concurrencyBytes) };
}
