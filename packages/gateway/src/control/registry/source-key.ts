import type { DiscoverSettings } from "@headgate/schema";
import type { SourceKind, SourceSettings } from "./source.ts";

/** Computed once for each object: services are looked through whenever instances come or go. */
const keys = new WeakMap<DiscoverSettings, string>();

/**
 * Tells what is discovered from what else is: the same settings have the same key. That of instances in the store is
 * the name that they announce themselves under.
 */
export function discoveryKey(settings: DiscoverSettings): string {
  if ("etcd" in settings) return settings.etcd;
  let key = keys.get(settings);
  if (key === undefined) keys.set(settings, (key = JSON.stringify(settings)));
  return key;
}

/** Whether instances are found elsewhere than in the store. */
export function isSource(settings: DiscoverSettings): settings is SourceSettings {
  return !("etcd" in settings);
}

export function kindOf(settings: SourceSettings): SourceKind {
  if ("dns" in settings) return "dns";
  if ("consul" in settings) return "consul";
  return "nacos" in settings ? "nacos" : "kubernetes";
}

/**
 * What is asked for where, without what it is asked with: a new password is no other source. Safe to be written down.
 */
export function sourceIdentity(settings: SourceSettings): string {
  const secrets = new Set(["token", "password", "ca"]);
  return JSON.stringify(settings, (name, value: unknown) => (secrets.has(name) ? undefined : value));
}
