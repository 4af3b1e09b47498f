import type { Importance } from "@headgate/schema";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";

import { SealError, type Seal } from "../core/seal.ts";
import type { Wheel } from "../core/wheel.ts";
import { Timed } from "../core/wheel.ts";
import type { Carrier, ExchangeRun } from "./carrier.ts";
import { Exchange, ExchangeRequest } from "./exchange.ts";
import { Fields } from "./http1/fields.ts";
import { RequestBody } from "./http1/request-body.ts";
import { fieldLines } from "./http1/write-head.ts";
import { openBody, openHead, type Delivery, type DeliveryOutcome, type MessageHead } from "./message.ts";
import type { AttemptHook } from "./middleware.ts";

import { retryAfterOf } from "./retry.ts";
import type { ForwardTo } from "./route.ts";
import { normalizeTarget } from "./router/normalize.ts";
import type { Service } from "./upstream/service.ts";

/** Longest that a delivery takes where its route says nothing: an answer that trickles in for ever ends then. */
const deliveryMsMax = 5 * 60_000;
/** An answer's body is read so that its connection can go on, up to so many bytes. */
const answerBytesMax = 1024 * 1024;
/** Where a message goes now; a route or service may have changed since it was queued. */
export interface DeliveryTarget {
  readonly service: Service;
  readonly hooks: readonly AttemptHook[];
  /** Of the whole exchange. */
  readonly timeoutMs: number | undefined;
  readonly importance: Importance | undefined;
}

/** What deliveries need of the thread they run in. */
export interface DeliverContext {
  readonly clock: Clock;
  readonly wheel: Wheel;
  readonly seal: Seal;
  readonly makeId: () => string;
  readonly forward: ForwardTo;
  /** `undefined`: the service is gone. */
  readonly find: (route: string, service: string) => DeliveryTarget | undefined;
}

/**
 * Sends a message to an instance of its service as a request of a client would be: with the service's balancing, limits,
 * retries and breaker, but without the chain, which it passed before it was queued. Resolves when the answer is over.
 */
export async function deliver(delivery: Delivery, context: DeliverContext): Promise<DeliveryOutcome> {
  const target = context.find(delivery.route, delivery.service);
  if (target === undefined) return failed(new GatewayError("HG_NO_INSTANCE"), "");
  let run: DeliveryRun;
  try {
    run = new DeliveryRun(delivery, target, context);
  } catch (error) {
    if (!(error instanceof SealError)) throw error;
    return { kind: "unreadable", detail: error.message };
  }
  return run.start();
}

/** A message on its way: the wire side of an exchange that no client has. */
class DeliveryRun extends Timed implements Carrier {
  readonly upgrade = false;
  readonly expectsContinue = false;
  readonly dechunk = false;
  readonly carriesKey = true;
  over = false;
  run: ExchangeRun | undefined;
  readonly body: RequestBody | undefined;
  readonly #exchange: Exchange;
  readonly #target: DeliveryTarget;
  readonly #context: DeliverContext;
  #end: (outcome: DeliveryOutcome) => void = () => {};

  /** Throws a SealError. */
  constructor(delivery: Delivery, target: DeliveryTarget, context: DeliverContext) {
    super();
    this.#target = target;
    this.#context = context;
    const { id, route } = delivery;
    const head = openHead(context.seal, id, delivery.head);
    const body = delivery.body === undefined ? undefined : openBody(context.seal, id, delivery.body);
    this.#exchange = exchangeOf(head, fieldsOf(head, body?.length, id), body?.length, context.makeId);
    this.#exchange.routeName = route;
    this.#exchange.carrier = this;
    if (body !== undefined && body.length > 0) {
      this.body = new RequestBody(this.#exchange.request);
      this.body.feed(body, 0, body.length);
    }
  }

  start(): Promise<DeliveryOutcome> {
    const { clock, wheel, forward } = this.#context;
    const { service, hooks, timeoutMs = deliveryMsMax } = this.#target;
    const exchange = this.#exchange;
    exchange.startedMs = clock.now();
    exchange.startedWallMs = clock.wall();
    exchange.deadlineMs = exchange.startedMs + timeoutMs;
    // Clients wait for their answers, and a message does not mind.
    exchange.importance = this.#target.importance ?? "low";
    wheel.arm(this, exchange.deadlineMs);
    return new Promise((resolve) => {
      this.#end = (outcome) => {
        if (this.over) return;
        this.over = true;
        wheel.disarm(this);
        resolve(outcome);
      };
      forward(exchange, service, hooks).then(
        () => this.#readAnswer(),
        (error: unknown) => this.#end(failed(error, exchange.instanceAddress)),
      );
    });
  }

  requestLines(extraNames: readonly string[] | undefined): string {
    const { headers } = this.#exchange.request;
    // A Host is never taken out by its name alone.
    const leaveOut = extraNames?.includes("host") === true ? [headers.indexOf("host", 0)] : [];
    const text = fieldLines(headers, 0, leaveOut, extraNames, extraNames);
    if (headers.has("host") || extraNames?.includes("host") === true) return text;
    return `${text}host: ${this.#exchange.instanceAddress}\r\n`;
  }

  interim(): void {}
  resumeBody(): void {}

  /** The answer broke off: the instance may have failed in the middle of its work. */
  cut(): void {
    this.#end(failed(this.#exchange.error, this.#exchange.instanceAddress));
  }

  /** It takes too long. */
  fire(): void {
    const error = new GatewayError("HG_TIMEOUT");
    this.run?.abort(error);
    this.#end(failed(error, this.#exchange.instanceAddress));
  }

  #readAnswer(): void {
    const { response, instanceAddress: instance } = this.#exchange;
    const { status } = response;
    const waitMs = retryAfterOf(response.headers.get("retry-after"), this.#context.clock.wall());
    const outcome: DeliveryOutcome = {
      kind: "answer",
      status,
      instance,
      ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    };
    let bytes = 0;
    this.run?.answered?.attach({
      write: (_, from, to) => {
        bytes += to - from;
        if (bytes > answerBytesMax) {
          // The status is known; nobody wants the rest.
          this.#end(outcome);
          this.run?.abort(new GatewayError("HG_CLIENT_CLOSED"));
        }
        return true;
      },
      end: () => this.#end(outcome),
    });
  }
}

/**
 * The fields as they were when the client sent them, with what belongs to this message. They are not parsed as a client's
 * would be: what a step made of them was sent to instances as it is, and still is.
 */
function fieldsOf({ lines, key }: MessageHead, bodyBytes: number | undefined, id: string): Fields {
  const length = bodyBytes === undefined ? "" : `content-length: ${bodyBytes}\r\n`;
  const raw = `${lines}idempotency-key: ${key ?? id}\r\n${length}\r\n`;
  const offsets: number[] = [];
  for (let at = 0; at < raw.length - 2;) {
    const end = raw.indexOf("\r\n", at);
    const nameEnd = raw.indexOf(":", at);
    let valueAt = nameEnd + 1;
    while (valueAt < end && isBlank(raw, valueAt)) valueAt++;
    let valueEnd = end;
    while (valueEnd > valueAt && isBlank(raw, valueEnd - 1)) valueEnd--;
    if (nameEnd > at && nameEnd < end) offsets.push(at, nameEnd, valueAt, valueEnd);
    at = end + 2;
  }
  return new Fields(raw, offsets);
}

function isBlank(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 32 || code === 9;
}

function exchangeOf(
  { method, target, client }: MessageHead,
  headers: Fields,
  bodyBytes: number | undefined,
  makeId: () => string,
): Exchange {
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const request = new ExchangeRequest({
    method,
    target,
    host: (headers.get("host") ?? "").toLowerCase().replace(/:\d*$/, ""),
    headers,
    matchPath: normalizeTarget(target)?.matchPath ?? path,
    path,
    search: query < 0 ? "" : target.slice(query),
    framing: bodyBytes === undefined || bodyBytes === 0 ? "none" : "length",
    contentLength: bodyBytes ?? -1,
  });
  const exchange = new Exchange(request, client, makeId);
  const requestId = headers.get("x-request-id");
  if (requestId !== undefined && /^[\x21-\x7e]{1,256}$/.test(requestId)) exchange.id = requestId;
  return exchange;
}

function failed(error: unknown, instance: string): DeliveryOutcome {
  const known = error instanceof GatewayError ? error : new GatewayError("HG_INTERNAL", { cause: error });
  const waitMs = retryAfterOf(known.details.headers?.["retry-after"], 0);
  return {
    kind: "error",
    code: known.code,
    nothingSent: known.retry === "any-method",
    detail: known.message,
    instance,
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
  };
}
