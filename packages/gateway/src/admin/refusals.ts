import { ChangeError, type ChangeErrorCode } from "../control/change/change-error.ts";
import { StoreError, type StoreErrorCode } from "../control/store/store.ts";
import { QueueError, type QueueErrorCode } from "../control/queue/queue.ts";
import { etagOf } from "./preconditions.ts";
import { AdminError } from "./problem.ts";

/** What a refused change is answered with. */
const changeStatus: Readonly<Record<ChangeErrorCode, number>> = {
  "bad-request": 400,
  invalid: 422,
  "precondition-failed": 412,
  conflict: 409,
  "not-found": 404,
  "not-waiting": 404,
  "too-late": 409,
  "history-gone": 409,
  interrupted: 503,
  unanswered: 503,
};

/** What a failed call of the store is answered with. */
const storeStatus: Readonly<Record<StoreErrorCode, number>> = {
  unreachable: 503,
  unauthorized: 503,
  compacted: 409,
  future: 400,
  "lease-not-found": 500,
  "lease-exists": 500,
  "too-large": 413,
  "too-many-operations": 413,
  "no-space": 507,
  invalid: 500,
};

/** What a call of the queue is answered with. */
const queueStatus: Readonly<Record<QueueErrorCode, number>> = { full: 409, conflict: 409, away: 503 };

/** A store that does not answer is tried again within seconds; asking more often tells nothing new. */
const retryAfterSeconds = "2";

/** The answer to a change that could not be made; `undefined` for what nobody foresaw. */
export function refusalOf(error: unknown): AdminError | undefined {
  if (error instanceof AdminError) return error;
  if (error instanceof StoreError) {
    const status = storeStatus[error.code];
    return new AdminError(status, sentence(error.message), { code: error.code }, retry(status));
  }
  if (error instanceof QueueError) {
    const status = queueStatus[error.code];
    return new AdminError(status, sentence(error.message), { code: error.code }, retry(status));
  }
  if (!(error instanceof ChangeError)) return undefined;
  const { code, problems, modRevision } = error;
  const status = changeStatus[code];
  const tag = modRevision === undefined || modRevision === 0 ? {} : { etag: etagOf(modRevision) };
  const extra = problems.length === 0 && code !== "invalid" ? { code } : { code, problems };
  return new AdminError(status, error.message, extra, { ...retry(status), ...tag });
}

function retry(status: number): Readonly<Record<string, string>> {
  return status === 503 ? { "retry-after": retryAfterSeconds } : {};
}

function sentence(message: string): string {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
