import { hash } from "node:crypto";
import type { ConsumerResource } from "@headgate/schema";
import type { ConsumerDirectory, ConsumerRef } from "./exchange.ts";
import { Shards, type ShardsEdit } from "./shards.ts";

/** What changes of consumers. */
export interface ConsumersChange {
  readonly set: Readonly<Record<string, ConsumerResource>>;
  readonly delete: readonly string[];
}

interface Parts {
  readonly resources: Shards<ConsumerResource>;
  /** By digest of the key. */
  readonly keys: Shards<ConsumerRef>;
  readonly subjects: Shards<ConsumerRef>;
}

/**
 * The consumers of one snapshot, found by API key or by the subject of a token. A change makes the next one, at the cost
 * of the consumers it names.
 *
 * Keys are held and looked up by their SHA-256: the time a look-up takes says something about a digest the client
 * cannot steer, not about how much of a key was guessed right, and a heap dump holds no keys.
 */
export class Consumers implements ConsumerDirectory {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  byKey(key: string): ConsumerRef | undefined {
    return this.#parts.keys.get(digest(key));
  }

  bySubject(subject: string): ConsumerRef | undefined {
    return this.#parts.subjects.get(subject);
  }

  /**
   * The consumers after a change. Throws an Error naming both consumers where two would share a key or a subject: the
   * request's owner would be a matter of order.
   */
  after({ set, delete: gone }: ConsumersChange): Consumers {
    const resources = this.#parts.resources.edit();
    const keys = this.#parts.keys.edit();
    const subjects = this.#parts.subjects.edit();
    const forget = (name: string): void => {
      const before = resources.get(name);
      resources.delete(name);
      for (const key of before?.keys ?? []) keys.delete(digest(key));
      if (before?.jwt !== undefined) subjects.delete(before.jwt.subject);
    };
    // All that goes first: keys may be swapped.
    for (const name of gone) forget(name);
    const added = Object.entries(set);
    for (const [name] of added) forget(name);
    for (const [name, consumer] of added) {
      const ref: ConsumerRef = { name, groups: consumer.groups };
      resources.set(name, consumer);
      for (const key of consumer.keys) addTo(keys, digest(key), ref, "key");
      if (consumer.jwt !== undefined) addTo(subjects, consumer.jwt.subject, ref, "jwt subject");
    }
    return new Consumers({ resources: resources.done(), keys: keys.done(), subjects: subjects.done() });
  }
}

/** Nobody. */
export const noConsumers = new Consumers({ resources: new Shards(), keys: new Shards(), subjects: new Shards() });

/** These and no others. Throws as `after` does. */
export function buildConsumerDirectory(consumers: Readonly<Record<string, ConsumerResource>>): Consumers {
  return noConsumers.after({ set: consumers, delete: [] });
}

function addTo(map: ShardsEdit<ConsumerRef>, key: string, ref: ConsumerRef, what: string): void {
  const other = map.get(key);
  if (other !== undefined && other.name !== ref.name) {
    throw new Error(`consumers ${other.name} and ${ref.name} have the same ${what}`);
  }
  map.set(key, ref);
}

function digest(key: string): string {
  return hash("sha256", key, "base64");
}
