import type { Resources } from "@headgate/schema";
import type { SnapshotChange } from "../proxy/snapshot.ts";

/**
 * What a worker must be told to get from `previous` (`undefined`: from nothing) to `next`. Pure. Names only the
 * resources that differ: a route is not sent again because a middleware or plugin it names changed, the worker knows
 * who depends on what. `undefined` when nothing differs.
 */
export function compileChange(
  previous: Resources | undefined,
  next: Resources,
  revision: number,
): SnapshotChange | undefined {
  const change: Mutable<SnapshotChange> = { revision };
  const routes = difference(previous?.routes, next.routes);
  const services = difference(previous?.services, next.services);
  const middlewares = difference(previous?.middlewares, next.middlewares);
  const consumers = difference(previous?.consumers, next.consumers);
  const plugins = difference(previous?.plugins, next.plugins);
  if (routes !== undefined) change.routes = routes;
  if (services !== undefined) change.services = services;
  if (middlewares !== undefined) change.middlewares = middlewares;
  if (consumers !== undefined) change.consumers = consumers;
  if (plugins !== undefined) change.plugins = plugins;
  if (previous === undefined || !sameValue(previous.global, next.global)) change.global = next.global;
  // The revision alone is no change.
  return Object.keys(change).length > 1 ? change : undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Difference<T> {
  readonly set: Readonly<Record<string, T>>;
  readonly delete: readonly string[];
}

function difference<T>(
  previous: Readonly<Record<string, T>> | undefined,
  next: Readonly<Record<string, T>>,
): Difference<T> | undefined {
  // Without a prototype: a resource may be called `__proto__`, which on a plain object would set none.
  const set = Object.create(null) as Record<string, T>;
  const gone: string[] = [];
  let differs = false;
  for (const [name, value] of Object.entries(next)) {
    if (previous !== undefined && Object.hasOwn(previous, name) && sameValue(previous[name], value)) continue;
    set[name] = value;
    differs = true;
  }
  for (const name of Object.keys(previous ?? {})) {
    if (Object.hasOwn(next, name)) continue;
    gone.push(name);
    differs = true;
  }
  return differs ? { set, delete: gone } : undefined;
}

/** Whether two plain values say the same. The order of an object's keys says nothing, that of a list does. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameValue(item, b[index]));
  }
  return sameFields(a, b);
}

function sameFields(a: object, b: object): boolean {
  // An absent field and one that holds `undefined` are the same: structured cloning and JSON disagree about it.
  const left = new Map<string, unknown>(Object.entries(a));
  const right = new Map<string, unknown>(Object.entries(b));
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    if (!sameValue(left.get(name), right.get(name))) return false;
  }
  return true;
}
