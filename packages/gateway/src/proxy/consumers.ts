import { hash } from "node:crypto";
import type { ConsumerResource } from "@headgate/schema";
import type { ConsumerDirectory, ConsumerRef } from "./exchange.ts";

/**
 * The consumers of one snapshot, found by API key or by the subject of a token. Built once per snapshot.
 *
 * Keys are held and looked up by their SHA-256: the time a look-up takes says something about a digest the client
 * cannot steer, not about how much of a key was guessed right, and a heap dump holds no keys.
 *
 * Throws an Error naming both consumers where two share a key or a subject: the request's owner would be a matter of
 * order.
 */
export function buildConsumerDirectory(consumers: Readonly<Record<string, ConsumerResource>>): ConsumerDirectory {
  const keys = new Map<string, ConsumerRef>();
  const subjects = new Map<string, ConsumerRef>();
  for (const [name, consumer] of Object.entries(consumers)) {
    const ref: ConsumerRef = { name, groups: consumer.groups };
    for (const key of consumer.keys) addTo(keys, digest(key), ref, "key");
    if (consumer.jwt !== undefined) addTo(subjects, consumer.jwt.subject, ref, "jwt subject");
  }
  return {
    byKey: (key) => keys.get(digest(key)),
    bySubject: (subject) => subjects.get(subject),
  };
}

function addTo(map: Map<string, ConsumerRef>, key: string, ref: ConsumerRef, what: string): void {
  const other = map.get(key);
  if (other !== undefined && other.name !== ref.name) {
    throw new Error(`consumers ${other.name} and ${ref.name} have the same ${what}`);
  }
  map.set(key, ref);
}

function digest(key: string): string {
  return hash("sha256", key, "base64");
}
