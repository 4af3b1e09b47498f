import type { ErrorCode } from "../core/errors.ts";
import type { Seal } from "../core/seal.ts";
import type { Client } from "./exchange.ts";

/** What a message's request is, beside its body: what would have been sent to an instance. */
export interface MessageHead {
  readonly method: string;
  /** Path and query as they are sent. */
  readonly target: string;
  /**
   * Header fields as lines, each with its CRLF: with the forwarding fields, without hop-by-hop ones, framing and
   * `Idempotency-Key`.
   */
  readonly lines: string;
  /** The client's own `Idempotency-Key`. Absent: the message's id takes its place. */
  readonly key?: string;
  readonly client: Client;
}

/** A request on its way into the queue. Plain data that crosses threads; head and body are sealed. */
export interface NewMessage {
  /** 26 characters, in the order of time: a ULID. */
  readonly id: string;
  readonly route: string;
  readonly service: string;
  readonly head: Uint8Array;
  readonly body?: Uint8Array;
  /** From now to the dead-letter list. */
  readonly deadlineMs: number;
  /** Before the second try; doubles up to `backoffMaxMs`. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** Where the client sent a key of its own. */
  readonly once?: OnceKey;
}

/** What tells that a request was queued before. Hashes: the texts themselves are not stored in clear. */
export interface OnceKey {
  /** Of the route, who asked, and the client's `Idempotency-Key`. */
  readonly scope: string;
  /** Of the request: the same key on another request is a mistake of the client. */
  readonly request: string;
}

/** What became of a message that was handed over. `refused`: it is not in the queue. */
export type HandedOver =
  | { readonly kind: "queued" | "known"; readonly id: string }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly detail: string };

/** A message on its way to an instance. */
export interface Delivery {
  readonly id: string;
  readonly route: string;
  readonly service: string;
  readonly head: Uint8Array;
  readonly body?: Uint8Array;
}

/** How a delivery ended. */
export type DeliveryOutcome =
  /** An instance answered in full. */
  | { readonly kind: "answer"; readonly status: number; readonly instance: string; readonly retryAfterMs?: number }
  /** `nothingSent`: no instance has seen the request. */
  | {
      readonly kind: "error";
      readonly code: ErrorCode;
      readonly nothingSent: boolean;
      readonly detail: string;
      readonly instance: string;
      readonly retryAfterMs?: number;
    }
  /** The message cannot be opened, or is no request any more. */
  | { readonly kind: "unreadable"; readonly detail: string };

/** Worker to control thread, about messages. */
export type QueueFromWorker =
  | { readonly type: "enqueue"; readonly message: NewMessage }
  | { readonly type: "delivered"; readonly call: number; readonly outcome: DeliveryOutcome };

/** Control thread to worker, about messages. */
export type QueueToWorker =
  /** By the message's id: a number could be one of a worker that was replaced meanwhile. */
  | { readonly type: "enqueued"; readonly messageId: string; readonly result: HandedOver }
  | { readonly type: "deliver"; readonly call: number; readonly delivery: Delivery };

/** A head as it is stored. */
export function sealHead(seal: Seal, id: string, head: MessageHead): Uint8Array {
  return seal.seal(Buffer.from(JSON.stringify(head), "utf8"), `${id} head`);
}

/** Throws a SealError. */
export function openHead(seal: Seal, id: string, head: Uint8Array): MessageHead {
  return JSON.parse(seal.open(head, `${id} head`).toString("utf8")) as MessageHead; // sealed above, nobody else can
}

/** A body as it is stored. */
export function sealBody(seal: Seal, id: string, body: Uint8Array): Uint8Array {
  return seal.seal(body, `${id} body`);
}

/** Throws a SealError. */
export function openBody(seal: Seal, id: string, body: Uint8Array): Buffer {
  return seal.open(body, `${id} body`);
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** A ULID (https://github.com/ulid/spec). `entropy`: 16 bytes, of which 80 bits are used. */
export function messageId(wallMs: number, entropy: Uint8Array): string {
  let time = "";
  for (let rest = Math.floor(wallMs), at = 0; at < 10; at++, rest = Math.floor(rest / 32)) {
    time = (crockford[rest % 32] ?? "") + time;
  }
  let chance = "";
  for (let at = 0; at < 16; at++) chance += crockford[(entropy[at] ?? 0) & 31] ?? "";
  return time + chance;
}

/** Whether a text can be the id of a message. */
export function isMessageId(text: string): boolean {
  return /^[0-9A-HJKMNP-TV-Z]{26}$/.test(text);
}
