import type net from "node:net";
import type { ConnectionUser, UpstreamConnection } from "../upstream/connection.ts";
import { writeCopy } from "./wire.ts";

/** How long an instance that does not read holds up the end of its tunnel. */
const closingMs = 5_000;

/** Bytes both ways after a 101: each side's back-pressure holds the other's reading, each side's end is passed on. */
export class Tunnel implements ConnectionUser {
  /** Bytes towards the client. */
  bytes = 0;
  readonly #client: net.Socket;
  readonly #upstream: UpstreamConnection;
  readonly #onProgress: () => void;
  readonly #onClosed: () => void;
  #upstreamEnded = false;
  #clientEnded = false;

  constructor(client: net.Socket, upstream: UpstreamConnection, onProgress: () => void, onClosed: () => void) {
    this.#client = client;
    this.#upstream = upstream;
    this.#onProgress = onProgress;
    this.#onClosed = onClosed;
  }

  /** From the client. Returns whether to go on reading from it. */
  fromClient(buffer: Buffer, length: number): boolean {
    this.#onProgress();
    return writeCopy(this.#upstream.socket, buffer, 0, length);
  }

  clientDrained(): void {
    this.#upstream.resume();
  }

  clientEnded(): void {
    this.#clientEnded = true;
    this.#upstream.socket.end();
    if (this.#upstreamEnded) this.close();
  }

  onBytes(buffer: Buffer, length: number): boolean {
    this.#onProgress();
    this.bytes += length;
    return writeCopy(this.#client, buffer, 0, length);
  }

  onEnd(): void {
    this.#upstreamEnded = true;
    this.#client.end();
    if (this.#clientEnded) this.close();
  }

  onDrain(): void {
    this.#client.resume();
  }

  onClose(): void {
    this.#client.destroySoon();
    this.#onClosed();
  }

  /** Ends both sides; what was written still leaves. */
  close(): void {
    const { socket } = this.#upstream;
    socket.destroySoon();
    socket.setTimeout(closingMs, () => socket.destroy());
  }
}
