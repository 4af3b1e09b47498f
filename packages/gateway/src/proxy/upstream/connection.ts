import type net from "node:net";
import { dial } from "../http1/wire.ts";
import type { Instance } from "./instance.ts";

/** Who uses a connection at the moment: one attempt, or a tunnel. */
export interface ConnectionUser {
  onBytes(buffer: Buffer, length: number): boolean;
  onEnd(): void;
  onClose(error: Error | undefined): void;
  onDrain(): void;
}

/** One connection to an instance. Idle ones belong to the instance's pool. */
export class UpstreamConnection {
  readonly instance: Instance;
  readonly socket: net.Socket;
  /** Whether it carried a request before: then its end may be a keep-alive race and not a failure. */
  reused = false;
  /** Monotonic milliseconds when an idle one is closed. */
  idleUntilMs = 0;
  #user: ConnectionUser | undefined;
  #paused = false;
  #closed = false;

  constructor(instance: Instance, onConnect: () => void) {
    this.instance = instance;
    this.socket = dial(instance.host, instance.port, this, onConnect);
  }

  get usable(): boolean {
    return !this.#closed;
  }

  use(user: ConnectionUser): void {
    this.#user = user;
  }

  /** Gives it back to the pool, or closes it. */
  release(keep: boolean, keepAliveMs: number, nowMs: number): void {
    this.#user = undefined;
    this.reused = true;
    if (keep && this.usable) {
      this.resume();
      this.instance.pool.takeBack(this, keepAliveMs, nowMs);
    } else {
      this.destroy();
    }
  }

  destroy(): void {
    this.#closed = true;
    this.socket.destroy();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.socket.resume();
  }

  pause(): void {
    this.#paused = true;
    this.socket.pause();
  }

  onBytes(buffer: Buffer, length: number): boolean {
    if (this.#user === undefined) {
      // Bytes nobody asked for: whoever got this connection next would take them for its answer.
      this.destroy();
      return false;
    }
    const more = this.#user.onBytes(buffer, length);
    if (!more) this.#paused = true;
    return more;
  }

  onEnd(): void {
    this.#closed = true;
    if (this.#user === undefined) this.socket.destroy();
    else this.#user.onEnd();
  }

  onClose(error: Error | undefined): void {
    this.#closed = true;
    const user = this.#user;
    this.#user = undefined;
    this.instance.pool.forget(this);
    user?.onClose(error);
  }

  onDrain(): void {
    this.#user?.onDrain();
  }
}
