import type { DeliveryOutcome } from "../../proxy/message.ts";
import type { DeathCause, Reserved } from "./queue.ts";

/** What becomes of a message after a delivery. */
export type Verdict =
  | { readonly do: "ack" }
  /** Tried again after `delayMs`. `serviceWaitMs`: the service asked to be left alone for so long. */
  | { readonly do: "retry"; readonly delayMs: number; readonly serviceWaitMs: number; readonly text: string }
  | { readonly do: "bury"; readonly cause: DeathCause; readonly text: string }
  /** It was not tried: no instance may be asked now. It counts as nothing, and its service is left alone for a while. */
  | { readonly do: "wait"; readonly serviceWaitMs: number };

/** What asks for the service's patience, and not for that of one message. */
const notTried: ReadonlySet<string> = new Set(["HG_NO_INSTANCE", "HG_CIRCUIT_OPEN", "HG_OVERLOADED"]);

/** RFC 9110 §15: the client may come again with the same request. All else that begins with 4 will be refused again. */
const retriedStatuses: ReadonlySet<number> = new Set([408, 425, 429]);

/** See Other and what browsers take for it, and Not Modified: the request was done, and this is where to read on. */
const doneRedirects: ReadonlySet<number> = new Set([302, 303, 304]);

/** Longest wait that an instance is believed. */
const retryAfterMaxMs = 24 * 3_600_000;

/**
 * Judges a delivery. Pure. Back-off: full jitter, `random × min(backoffMax, backoff × 2^attempts)`, and at least what the
 * instance asks for (AWS, "Exponential backoff and jitter").
 */
export function judge(outcome: DeliveryOutcome, message: Reserved, random: () => number): Verdict {
  switch (outcome.kind) {
    case "unreadable":
      return { do: "bury", cause: "unreadable", text: `It cannot be read: ${outcome.detail}.` };
    case "error": {
      const { code, detail, instance, retryAfterMs = 0 } = outcome;
      if (notTried.has(code)) return { do: "wait", serviceWaitMs: retryAfterMs };
      const where = instance === "" ? "" : ` (${instance})`;
      return retried(message, `${code}: ${detail}${where}`, 0, random);
    }
    case "answer": {
      const { status, instance, retryAfterMs = 0 } = outcome;
      if ((status >= 200 && status < 300) || doneRedirects.has(status)) return { do: "ack" };
      const text = `${instance} answered ${status}.`;
      if (status >= 500 || retriedStatuses.has(status)) return retried(message, text, retryAfterMs, random);
      return { do: "bury", cause: "refused", text };
    }
  }
}

function retried(message: Reserved, text: string, askedMs: number, random: () => number): Verdict {
  const { attempts, backoffMs, backoffMaxMs } = message;
  const waitMs = Math.min(askedMs, retryAfterMaxMs);
  const jitterMs = random() * Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(attempts, 50));
  return { do: "retry", delayMs: Math.ceil(Math.max(waitMs, jitterMs)), serviceWaitMs: waitMs, text };
}
