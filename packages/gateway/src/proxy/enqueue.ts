import { createHash } from "node:crypto";
import type { DeliverySettings } from "@headgate/schema";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { secretTest } from "../core/secrets.ts";
import type { Wheel } from "../core/wheel.ts";
import { Timed } from "../core/wheel.ts";
import type { Carrier, ExchangeRun } from "./carrier.ts";
import type { Exchange } from "./exchange.ts";
import { ChunkedDecoder } from "./http1/chunked.ts";
import type { BodySink } from "./http1/request-body.ts";
import { sealBody, sealHead, type HandedOver, type NewMessage, type OnceKey } from "./message.ts";
import type { QueueLine } from "./queue-line.ts";
import { targetOf } from "./send.ts";

/** Longest wait for the queue's answer; then the client is told to come again. */
const answerMsMax = 15_000;

/** Longest `Idempotency-Key` that is taken; HG_BAD_REQUEST beyond. */
export const idempotencyKeyLengthMax = 256;

/** What is said anew for each connection, or by the delivery. */
const notStored = new Set(["transfer-encoding", "connection", "upgrade", "expect", "trailer", "idempotency-key"]);

/** What queueing needs of the thread it runs in. */
export interface EnqueueContext {
  readonly clock: Clock;
  readonly wheel: Wheel;
  readonly line: QueueLine;
}

/**
 * Puts one exchange into the queue of a service: takes its body in full, hands both over, and answers 202 once the message
 * is durable. Ends in HG_BODY_TOO_LARGE, HG_BAD_REQUEST, HG_IDEMPOTENCY_CONFLICT or HG_OVERLOADED otherwise.
 */
export class EnqueueRun extends Timed implements ExchangeRun, BodySink {
  readonly answered = undefined;
  settled = false;
  readonly #exchange: Exchange;
  readonly #carrier: Carrier;
  readonly #service: string;
  readonly #delivery: DeliverySettings;
  readonly #context: EnqueueContext;
  readonly #decoder: ChunkedDecoder | undefined;
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #entered = false;
  #stopWaiting: (() => void) | undefined;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(
    exchange: Exchange,
    carrier: Carrier,
    service: string,
    delivery: DeliverySettings,
    context: EnqueueContext,
  ) {
    super();
    this.#exchange = exchange;
    this.#carrier = carrier;
    this.#service = service;
    this.#delivery = delivery;
    this.#context = context;
    this.#decoder = exchange.request.framing === "chunked" ? new ChunkedDecoder() : undefined;
  }

  /** Resolves when the 202 is on the exchange. */
  start(): Promise<void> {
    this.#exchange.serviceName = this.#service;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#guard(() => this.#begin());
    });
  }

  abort(error: GatewayError): void {
    this.#fail(error);
  }

  /** Takes bytes of the body as they stand on the wire. */
  write(buffer: Buffer, from: number, to: number): boolean {
    if (this.settled) return true;
    this.#guard(() => {
      if (this.#decoder === undefined) this.#keep(buffer, from, to);
      else this.#decoder.feed(buffer, from, to, (start, end) => this.#keep(buffer, start, end), true);
    });
    return true;
  }

  end(): void {
    if (!this.settled) this.#guard(() => this.#handOver());
  }

  /** The queue did not answer. */
  fire(): void {
    this.#fail(new GatewayError("HG_OVERLOADED", { detail: "The queue does not answer.", headers: again }));
  }

  leaveToTunnel(): void {}
  endTunnel(): void {}
  pauseIdle(): void {}
  resumeIdle(): void {}

  #begin(): void {
    const { request } = this.#exchange;
    request.limitBody(this.#delivery.bodyBytesMax);
    checkKey(request.headers.getAll("idempotency-key"));
    this.#context.line.enter();
    this.#entered = true;
    const { body, expectsContinue } = this.#carrier;
    if (body === undefined) {
      this.#handOver();
      return;
    }
    // What came before the limit was set has been counted against no limit.
    if (body.bytes > request.bodyBytesMax) {
      throw new GatewayError("HG_BODY_TOO_LARGE", { detail: `The limit is ${request.bodyBytesMax} bytes.` });
    }
    body.attach(this);
    if (body.complete) return;
    if (expectsContinue && body.bytes === 0) this.#carrier.interim("HTTP/1.1 100 Continue\r\n");
    this.#carrier.resumeBody();
  }

  #keep(buffer: Buffer, from: number, to: number): void {
    this.#context.line.hold(to - from);
    this.#heldBytes += to - from;
    this.#chunks.push(Buffer.from(buffer.subarray(from, to)));
  }

  #handOver(): void {
    const { line, wheel, clock } = this.#context;
    const message = this.#message();
    wheel.arm(this, clock.now() + answerMsMax);
    this.#stopWaiting = line.handOver(message, (result) => this.#handedOver(result));
  }

  #message(): NewMessage {
    const { line } = this.#context;
    const { request, client, consumer, routeName } = this.#exchange;
    const target = targetOf(request);
    if (target === undefined) {
      const cause = new Error("a step made the path one that HTTP forbids");
      throw new GatewayError("HG_INTERNAL", { cause });
    }
    const id = line.newId();
    const { method } = request;
    const key = request.headers.get("idempotency-key");
    const body = this.#carrier.body === undefined ? undefined : Buffer.concat(this.#chunks, this.#heldBytes);
    const lines = this.#storedLines(body !== undefined);
    const head = { method, target, lines, client, ...(key === undefined ? {} : { key }) };
    const { deadlineMs, backoffMs, backoffMaxMs } = this.#delivery;
    const asker = consumer?.name ?? request.headers.get("authorization") ?? "";
    return {
      id,
      route: routeName,
      service: this.#service,
      head: sealHead(line.seal, id, head),
      ...(body === undefined ? {} : { body: sealBody(line.seal, id, body) }),
      deadlineMs,
      backoffMs,
      backoffMaxMs,
      ...(key === undefined ? {} : { once: onceKey([routeName, asker, key], [method, target], body) }),
    };
  }

  /** The fields as an instance would get them. Where nothing hides them, credentials stay behind. */
  #storedLines(hasBody: boolean): string {
    const isSecret = this.#context.line.seal.hides ? () => false : secretTest(this.#exchange);
    const kept = this.#carrier
      // What is left of this exchange's time is not what a delivery has.
      .requestLines(undefined, -Infinity)
      .split("\r\n")
      .filter((line) => {
        const name = line.slice(0, line.indexOf(":")).toLowerCase();
        if (line === "" || notStored.has(name) || isSecret(name)) return false;
        if (name === "content-length") return !hasBody;
        // HTTP/1.0 without Host: the instance's address takes its place when there is one.
        return name !== "host" || line.trimEnd().length > "host:".length;
      });
    return kept.map((line) => `${line}\r\n`).join("");
  }

  #handedOver(result: HandedOver): void {
    if (this.settled) return;
    if (result.kind === "refused") {
      const headers = result.code === "HG_OVERLOADED" ? again : {};
      this.#fail(new GatewayError(result.code, { detail: result.detail, headers }));
      return;
    }
    this.#end();
    this.#exchange.respond({
      status: 202,
      headers: {
        "content-type": "application/json",
        // As others that remember keys say it.
        ...(result.kind === "known" ? { "idempotent-replayed": "true" } : {}),
      },
      body: JSON.stringify({ id: result.id, status: "queued" }),
    });
    this.#resolve();
  }

  /** What goes wrong ends the exchange, wherever it is called from. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.settled) return;
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.settled = true;
    this.#stopWaiting?.();
    this.#context.wheel.disarm(this);
    if (this.#entered) this.#context.line.leave(this.#heldBytes);
    this.#chunks = [];
  }
}

/** What can wait a moment is not told to come back later. */
const again = { "retry-after": "1" };

/** Throws HG_BAD_REQUEST for keys that cannot be one. */
function checkKey(keys: readonly string[]): void {
  const [key = "", another] = keys;
  if (keys.length === 0) return;
  if (another !== undefined) throw new GatewayError("HG_BAD_REQUEST", { detail: "Idempotency-Key is given twice." });
  if (key.length > idempotencyKeyLengthMax || !/^[\x21-\x7e][\x20-\x7e]*$/.test(key)) {
    const detail = `Idempotency-Key takes 1 to ${idempotencyKeyLengthMax} visible ASCII characters.`;
    throw new GatewayError("HG_BAD_REQUEST", { detail });
  }
}

function onceKey(scope: readonly string[], request: readonly string[], body: Uint8Array | undefined): OnceKey {
  const whole = createHash("sha256").update(JSON.stringify(request));
  if (body !== undefined) whole.update(body);
  return {
    scope: createHash("sha256").update(JSON.stringify(scope)).digest("base64url"),
    request: whole.digest("base64url"),
  };
}
