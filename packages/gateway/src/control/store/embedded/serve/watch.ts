import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Timers } from "../../../../core/timers.ts";
import type * as m from "../../etcd/messages.ts";
import type { Sent } from "../../etcd/messages.ts";
import type { ServeContext } from "./context.ts";
import { fail, readCall } from "./stream.ts";
import { etcdError } from "./errors.ts";
import { WatchStream, type WatchLimits } from "./watch-stream.ts";

/** How often a quiet watch that asked for progress is told: etcd's default. */
const progressEveryMs = 600_000;

export type WatchCall = ServerDuplexStream<m.WatchRequestMessage, Sent<m.WatchResponse>>;

/** etcd's Watch service. */
export class WatchService {
  readonly #context: ServeContext;
  readonly #limits: WatchLimits;
  readonly #streams = new Map<WatchStream, WatchCall>();
  readonly #stops: readonly (() => void)[];
  #stopped = false;

  constructor(context: ServeContext, timers: Timers, limits: WatchLimits) {
    this.#context = context;
    this.#limits = limits;
    this.#stops = [
      context.store.onDurable(() => this.#each((stream) => stream.pump())),
      timers.every(progressEveryMs, () => this.#each((stream) => stream.tellQuietProgress())),
    ];
  }

  readonly handlers = {
    Watch: (call: WatchCall): void => {
      if (this.#stopped) return fail(call, etcdError("stopped"), this.#context.log);
      const stream = new WatchStream(this.#context, call, this.#limits, () => this.#watches());
      this.#streams.set(stream, call);
      // As etcd's, a stream whose client has nothing more to ask goes on telling until the client leaves.
      readCall(
        call,
        this.#context.log,
        (message) => stream.take(message),
        () => {
          this.#streams.delete(stream);
          stream.close();
        },
      );
    },
  };

  close(): void {
    this.#stopped = true;
    for (const stop of this.#stops) stop();
    for (const [stream, call] of this.#streams) {
      stream.close();
      fail(call, etcdError("stopped"), this.#context.log);
    }
  }

  #watches(): number {
    let count = 0;
    for (const stream of this.#streams.keys()) count += stream.watches;
    return count;
  }

  #each(act: (stream: WatchStream) => void): void {
    for (const stream of this.#streams.keys()) act(stream);
  }
}
