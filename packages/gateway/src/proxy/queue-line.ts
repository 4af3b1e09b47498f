import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { Seal } from "../core/seal.ts";
import { messageId, type HandedOver, type NewMessage, type QueueFromWorker } from "./message.ts";

/** Most requests of one worker that are being queued at a time. */
export const enqueuingMax = 1_024;
/** Most bytes of their bodies. */
export const enqueuingBytesMax = 64 * 1024 * 1024;

export interface QueueLineOptions {
  readonly post: (message: QueueFromWorker) => void;
  readonly seal: Seal;
  readonly clock: Pick<Clock, "wall">;
  /** That many random bytes. */
  readonly entropy: (bytes: number) => Uint8Array;
}

/**
 * A worker's line to the queue, which is the control thread's: what goes over it is bounded, so that a writer that falls
 * behind costs clients a 503 and not the worker its memory.
 */
export class QueueLine {
  readonly seal: Seal;
  readonly #options: QueueLineOptions;
  readonly #waiting = new Map<string, (result: HandedOver) => void>();
  #entered = 0;
  #heldBytes = 0;

  constructor(options: QueueLineOptions) {
    this.#options = options;
    this.seal = options.seal;
  }

  /** A request is to be queued; goes with `leave`. Throws HG_OVERLOADED. */
  enter(): void {
    if (this.#entered >= enqueuingMax) throw behind();
    this.#entered++;
  }

  /** Bytes of a body are held for a request that entered. Throws HG_OVERLOADED. */
  hold(bytes: number): void {
    if (this.#heldBytes + bytes > enqueuingBytesMax) throw behind();
    this.#heldBytes += bytes;
  }

  /** `bytes`: all that was held for it. */
  leave(bytes: number): void {
    this.#entered--;
    this.#heldBytes -= bytes;
  }

  newId(): string {
    const { clock, entropy } = this.#options;
    return messageId(clock.wall(), entropy(16));
  }

  /** Calls `answered` when the message is durable or refused. Returns how to stop waiting. */
  handOver(message: NewMessage, answered: (result: HandedOver) => void): () => void {
    this.#waiting.set(message.id, answered);
    this.#options.post({ type: "enqueue", message });
    return () => void this.#waiting.delete(message.id);
  }

  /** The control thread's answer to a hand-over. */
  receive(id: string, result: HandedOver): void {
    const answered = this.#waiting.get(id);
    this.#waiting.delete(id);
    answered?.(result);
  }
}

function behind(): GatewayError {
  return new GatewayError("HG_OVERLOADED", {
    detail: "More is to be queued than can be written.",
    headers: { "retry-after": "1" },
  });
}
