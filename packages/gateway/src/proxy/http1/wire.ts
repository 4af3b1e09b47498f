import net from "node:net";
import tls from "node:tls";

/** Size of one read. Bigger saves system calls on large bodies; it is one buffer a thread, not one a connection. */
const readBytes = 64 * 1024;

/**
 * Every connection of the thread reads into this one buffer: what arrives is parsed or copied before the callback
 * returns. 10,000 idle connections hold no read buffers.
 */
const readBuffer = Buffer.allocUnsafeSlow(readBytes);

/** What happens on a socket. `onBytes` returns whether to go on reading; the buffer is valid during the call only. */
export interface WireEvents {
  onBytes(buffer: Buffer, length: number): boolean;
  /** The other side sends no more. */
  onEnd(): void;
  /** The socket is gone; comes once, last. */
  onClose(error: Error | undefined): void;
  /** What was written has left; comes after a write that returned false. */
  onDrain(): void;
}

/** Internals of a stream handle that net.Socket offers no other way to. */
interface StreamHandle {
  useUserBuffer?: unknown;
  /** Bytes handed to libuv. */
  bytesWritten?: number;
  /** Those of them that the kernel has not taken. */
  writeQueueSize?: number;
  writeLatin1String?: (request: WriteRequest, text: string) => number;
}

/** What libuv fills in when a write could not be taken at once. */
interface WriteRequest {
  oncomplete?: (status: number) => void;
  handle?: unknown;
}

/** Node's own write requests, for writing past the stream machinery of net.Socket. */
interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  readonly kLastWriteWasAsync: number;
}

function streamBinding(): StreamBinding | undefined {
  // Not in the types, and gone some day: then writes go through net.Socket, at some microseconds more.
  const binding = (process as unknown as { binding?: (name: string) => Partial<StreamBinding> }).binding;
  try {
    const found = binding?.("stream_wrap");
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = found ?? {};
    return WriteWrap === undefined || streamBaseState === undefined || kLastWriteWasAsync === undefined
      ? undefined
      : { WriteWrap, streamBaseState, kLastWriteWasAsync };
  } catch {
    return undefined;
  }
}

const direct = streamBinding();
// A write that the kernel takes at once leaves its request untouched, so one request serves them all.
let spareRequest = direct === undefined ? undefined : new direct.WriteWrap();

function handleOf(socket: net.Socket): StreamHandle | null | undefined {
  // `_handle` is not in the types. Only this file touches it, and does without where it is missing.
  return (socket as unknown as { _handle?: StreamHandle | null })._handle;
}

/**
 * Takes over an accepted socket. A server cannot give its sockets `onread`, so the handle is moved into a new socket
 * that has it: reads then cost no allocation (measured: 1.6 to 1.2 times nginx). TLS sockets and handles of another
 * kind keep their `data` events.
 */
export function adopt(socket: net.Socket, events: WireEvents): net.Socket {
  const handle = handleOf(socket);
  if (
    socket instanceof tls.TLSSocket ||
    handle === null ||
    handle === undefined ||
    handle.useUserBuffer === undefined
  ) {
    socket.on("data", (chunk: Buffer) => {
      if (!events.onBytes(chunk, chunk.length)) socket.pause();
    });
    return listen(socket, events);
  }
  (socket as unknown as { _handle: StreamHandle | null })._handle = null; // the old socket must not close it
  const options = {
    handle,
    allowHalfOpen: true,
    onread: { buffer: readBuffer, callback: (length: number, buffer: Buffer) => events.onBytes(buffer, length) },
  };
  return listen(new net.Socket(options as unknown as net.SocketConstructorOpts), events); // `handle` is not in the types
}

/** Connects to `host:port`. `onConnect` comes before any other event. */
export function dial(host: string, port: number, events: WireEvents, onConnect: () => void): net.Socket {
  const socket = net.connect({
    host,
    port,
    noDelay: true,
    allowHalfOpen: true,
    onread: { buffer: readBuffer, callback: (length, buffer) => events.onBytes(buffer as Buffer, length) }, // ours, above
  });
  socket.once("connect", onConnect);
  return listen(socket, events);
}

function listen(socket: net.Socket, events: WireEvents): net.Socket {
  let failure: Error | undefined;
  socket.on("error", (error) => (failure = error));
  socket.on("end", () => {
    events.onEnd();
  });
  socket.on("close", () => {
    events.onClose(failure);
  });
  socket.on("drain", () => {
    events.onDrain();
  });
  return socket;
}

/** Bytes the kernel has taken so far; it grows while a slow reader reads. */
export function takenBytes(socket: net.Socket): number {
  const { bytesWritten, writeQueueSize } = handleOf(socket) ?? {};
  return bytesWritten === undefined || writeQueueSize === undefined
    ? socket.bytesWritten - socket.writableLength
    : bytesWritten - writeQueueSize;
}

/** Whether bytes wait here that the kernel has not taken. */
export function hasUnsent(socket: net.Socket): boolean {
  return socket.writableLength > 0 || (handleOf(socket)?.writeQueueSize ?? 0) > 0;
}

// Copies for bodies on their way from the shared read buffer into a socket. A buffer whose write was taken by the
// kernel at once is used again; the others belong to their write until it ends.
const spare: Buffer[] = [];
const spareMax = 4;

/**
 * Writes bytes of the shared read buffer: copied, because the kernel may take them later. Returns false where the
 * caller should wait for `onDrain`.
 */
export function writeCopy(socket: net.Socket, buffer: Buffer, from: number, to: number): boolean {
  const length = to - from;
  if (length > readBytes) return socket.write(Buffer.from(buffer.subarray(from, to)));
  const copy = spare.pop() ?? Buffer.allocUnsafeSlow(readBytes);
  buffer.copy(copy, 0, from, to);
  const flowing = socket.write(copy.subarray(0, length));
  if (socket.writableLength === 0 && spare.length < spareMax) spare.push(copy);
  return flowing;
}

/**
 * Writes a small message of latin1 text, nearly always in one system call and with nothing left to do after it: the
 * stream machinery of net.Socket would cost as much again as building the message. `onDrain` comes after a write that
 * returned false.
 */
export function writeText(socket: net.Socket, text: string, events: WireEvents): boolean {
  const handle = handleOf(socket);
  if (
    direct === undefined ||
    spareRequest === undefined ||
    handle?.writeLatin1String === undefined ||
    socket.writableLength > 0 ||
    socket.connecting ||
    !socket.writable
  ) {
    return socket.write(text, "latin1");
  }
  const request = spareRequest;
  const error = handle.writeLatin1String(request, text);
  if (error !== 0) {
    socket.destroy(new Error(`write failed (${error})`));
    return false;
  }
  if (direct.streamBaseState[direct.kLastWriteWasAsync] === 0) return true;
  spareRequest = new direct.WriteWrap();
  request.handle = handle;
  request.oncomplete = (status) => {
    if (status < 0) socket.destroy(new Error(`write failed (${status})`));
    else events.onDrain();
  };
  return false;
}

/** Writes a head and body bytes that follow it as one write. `body` must not change afterwards. */
export function writeTogether(socket: net.Socket, head: string, body: Uint8Array): boolean {
  if (body.length > 32 * 1024) {
    socket.cork();
    socket.write(head, "latin1");
    const flowing = socket.write(body);
    socket.uncork();
    return flowing;
  }
  const whole = Buffer.allocUnsafe(head.length + body.length);
  whole.latin1Write(head, 0);
  whole.set(body, head.length);
  return socket.write(whole);
}
