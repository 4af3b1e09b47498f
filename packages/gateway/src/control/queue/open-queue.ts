import { existsSync } from "node:fs";
import { join } from "node:path";
import type { GatewaySettings } from "@headgate/schema";
import type { Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { nodeId } from "../node-id.ts";
import { queueThreadOf, ThreadQueue } from "./embedded/thread-queue.ts";
import { queueKeyOf } from "./queue-key.ts";
import type { Queue, QueueLimits } from "./queue.ts";

/** The queue as a gateway that says nothing has it. */
const defaultLimits: QueueLimits = { messages: 100_000, bytes: 1024 ** 3, deadLetters: 10_000 };
/** What the keys in Redis begin with; the hash tag keeps them together in a cluster. */
const redisPrefix = "headgate:{queue}:";

/** A queue that can be opened, and what its messages are sealed with. */
export interface QueueSetup {
  /** Absent: they are not sealed. */
  readonly key: Uint8Array | undefined;
  readonly open: () => Queue;
  /** Whether there may be messages already. */
  readonly mayHold: boolean;
}

export interface QueueSetupOptions {
  readonly settings: Pick<GatewaySettings, "queue" | "redis">;
  /** Absolute. */
  readonly dataDir: string;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

/** Prepares the queue that the settings name; opens nothing yet. Rejects where a file of the data directory is not what it was. */
export async function queueSetupOf(options: QueueSetupOptions): Promise<QueueSetup> {
  const { settings, dataDir, timers, log } = options;
  const { messages, bytes, deadLetters } = settings.queue ?? defaultLimits;
  const limits: QueueLimits = { messages, bytes, deadLetters };
  const key = await queueKeyOf(settings.queue, dataDir);
  const { redis } = settings;
  if (settings.queue?.store === "redis" && redis !== undefined) {
    if (key === undefined) {
      log.warn(
        {},
        "queued requests are kept in Redis as they are, and without their credentials: set gateway.queue.secret",
      );
    }
    return { key, open: await redisQueueOf(options, redis.url, limits), mayHold: true };
  }
  const start = queueThreadOf(dataDir, limits);
  const open = (): Queue => new ThreadQueue({ start, timers, log });
  return { key, open, mayHold: existsSync(join(dataDir, "queue.db")) };
}

/** The client is loaded where it is needed only. */
async function redisQueueOf(
  { dataDir, timers, random, log }: QueueSetupOptions,
  url: string,
  limits: QueueLimits,
): Promise<() => Queue> {
  const [{ RedisConnection }, { RedisQueue }] = await Promise.all([
    import("./redis/connection.ts"),
    import("./redis/redis-queue.ts"),
  ]);
  const consumer = await nodeId(dataDir, random);
  return () => {
    const connection = new RedisConnection({ url, timers, log });
    return new RedisQueue({ connection, limits, prefix: redisPrefix, consumer });
  };
}
