import type { HandedOver, NewMessage } from "../../proxy/message.ts";

/** Errors of a message that are kept; the oldest go first. */
export const errorsMax = 10;
/** How long a client's key of a delivered message is remembered. */
export const onceKeptMs = 24 * 3_600_000;

/** The right to deliver a message for a while; nobody else gets it meanwhile. */
export interface Lease {
  readonly id: string;
  readonly token: string;
}

/** A failed delivery. */
export interface DeliveryFailure {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** One sentence. */
  readonly text: string;
}

/** A message that was taken to be delivered. */
export interface Reserved {
  readonly lease: Lease;
  readonly route: string;
  readonly service: string;
  readonly head: Uint8Array;
  readonly body?: Uint8Array;
  readonly bytes: number;
  /** Failed deliveries so far. */
  readonly attempts: number;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
}

/** A service that has messages. `inMs`: until the first may be taken; 0: now. */
export interface DueService {
  readonly service: string;
  readonly inMs: number;
}

/** Why a message is in the dead-letter list: its time was over, the instance refused it, or it cannot be read. */
export type DeathCause = "deadline" | "refused" | "unreadable";

/** A message that has gone to the dead-letter list. */
export interface Death {
  readonly id: string;
  readonly route: string;
  readonly service: string;
}

export type MessageState = "waiting" | "delivering" | "dead";

/** A message as it is listed. Times are milliseconds since 1970. */
export interface MessageSummary {
  readonly id: string;
  readonly state: MessageState;
  readonly route: string;
  readonly service: string;
  readonly head: Uint8Array;
  readonly bytes: number;
  readonly attempts: number;
  readonly firstAtMs: number;
  /** Of the next delivery; of a dead message, when it died. */
  readonly nextAtMs: number;
  readonly deadlineAtMs: number;
  readonly cause?: DeathCause;
  readonly errors: readonly DeliveryFailure[];
}

export interface StoredMessage extends MessageSummary {
  readonly body?: Uint8Array;
}

/** Which messages; what is absent does not matter. */
export interface Selection {
  readonly state?: MessageState;
  readonly route?: string;
  readonly service?: string;
}

export interface ListQuery extends Selection {
  readonly limit: number;
  /** Where the page before ended. */
  readonly cursor?: string;
}

/** The newest first. `cursor`: there may be more behind it. */
export interface MessagePage {
  readonly messages: readonly MessageSummary[];
  readonly cursor?: string;
}

export interface QueueStats {
  readonly waiting: number;
  readonly delivering: number;
  readonly dead: number;
  /** Of those that wait or are being delivered. */
  readonly bytes: number;
  readonly deadBytes: number;
  /** When the oldest of those came, milliseconds since 1970. Absent: there are none. */
  readonly oldestAtMs?: number;
  /** Dead letters that were dropped for newer ones, since the queue was opened or, in Redis, made. */
  readonly dropped: number;
}

export interface QueueLimits {
  readonly messages: number;
  readonly bytes: number;
  readonly deadLetters: number;
}

/**
 * Where messages wait. What a call has changed is durable when it resolves; all calls reject with a QueueError. Every message
 * that was enqueued is handed out until it is acknowledged, buried or purged: at least once, never lost.
 */
export interface Queue {
  /** Rejects with `full` and `conflict` too. */
  enqueue(message: NewMessage): Promise<Extract<HandedOver, { kind: "queued" | "known" }>>;
  /** The services that have messages which nobody has taken. */
  due(): Promise<readonly DueService[]>;
  /** Takes messages that are due, the longest due first: at most so many, and at least one of so many bytes. */
  reserve(service: string, messages: number, bytes: number, leaseMs: number): Promise<readonly Reserved[]>;
  /** Keeps what was taken for `leaseMs` from now. */
  renew(leases: readonly Lease[], leaseMs: number): Promise<void>;
  /** Gives back what was taken: it was not tried. */
  release(leases: readonly Lease[]): Promise<void>;
  /** It was delivered. Also when the lease has run out; of one that is gone nothing. */
  ack(lease: Lease): Promise<void>;
  /** It failed, and is tried again in `delayMs`. Without effect where the lease is not valid any more. */
  nack(lease: Lease, delayMs: number, failure: DeliveryFailure): Promise<void>;
  /** It failed for good. Without effect where the lease is not valid any more. */
  bury(lease: Lease, cause: DeathCause, failure: DeliveryFailure): Promise<void>;
  /** Buries those whose time is over and that nobody delivers, at most so many; and forgets what need not be known any more. */
  expire(max: number): Promise<readonly Death[]>;
  list(query: ListQuery): Promise<MessagePage>;
  get(id: string): Promise<StoredMessage | undefined>;
  /** Makes dead messages wait again as if they were new, and waiting ones due at once; at most so many. How many it was. */
  replay(which: Selection | { readonly id: string }, max: number): Promise<number>;
  /** Deletes messages, at most so many; also those being delivered. How many it was. */
  purge(which: Selection | { readonly id: string }, max: number): Promise<number>;
  stats(): Promise<QueueStats>;
  /** Nothing is called any more. What was taken can be taken again. */
  close(): Promise<void>;
}

export type QueueErrorCode =
  /** No more messages or bytes may wait. */
  | "full"
  /** The client's key belongs to another request. */
  | "conflict"
  /** It cannot be reached or written to. */
  | "away";

/** Why the queue did not do what it was asked; `message` is one sentence. */
export class QueueError extends Error {
  readonly code: QueueErrorCode;

  constructor(code: QueueErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "QueueError";
    this.code = code;
  }
}
