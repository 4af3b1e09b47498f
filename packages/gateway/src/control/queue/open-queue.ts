import { existsSync } from "node:fs";
import { join } from "node:path";
import type { GatewaySettings } from "@headgate/schema";
import { queueThreadOf, ThreadQueue } from "./embedded/thread-queue.ts";
import type { QueueLimits } from "./queue.ts";
import { StoreAndForward, type StoreAndForwardOptions } from "./store-and-forward.ts";

/** The queue as a gateway that says nothing has it. */
const defaultLimits: QueueLimits = { messages: 100_000, bytes: 1024 ** 3, deadLetters: 10_000 };

/** What a gateway passes on to its queue. */
export interface OpenQueueOptions extends Omit<StoreAndForwardOptions, "open" | "mayHold"> {
  readonly settings: Pick<GatewaySettings, "queue" | "redis">;
  /** Absolute. */
  readonly dataDir: string;
}

/** Store-and-forward with the queue that the settings name. Opens nothing yet. */
export function storeAndForwardOf(options: OpenQueueOptions): StoreAndForward {
  const { settings, dataDir, timers, log } = options;
  const { messages, bytes, deadLetters } = settings.queue ?? defaultLimits;
  const start = queueThreadOf(dataDir, { messages, bytes, deadLetters });
  return new StoreAndForward({
    ...options,
    open: () => new ThreadQueue({ start, timers, log }),
    mayHold: existsSync(join(dataDir, "queue.db")),
  });
}
