import { status } from "@grpc/grpc-js";
import { StoreError, type StoreErrorCode } from "../../store.ts";

/** An answer that is an error, in the words and with the code of etcd: its clients compare the text. */
export class EtcdError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.name = "EtcdError";
    this.code = code;
  }
}

const errors = {
  // etcd's text for an operation of a transaction that is none.
  noOperation: [status.INVALID_ARGUMENT, "etcdserver: key not found"],
  authNotEnabled: [status.FAILED_PRECONDITION, "etcdserver: authentication is not enabled"],
  stopped: [status.UNAVAILABLE, "etcdserver: server stopped"],
} as const satisfies Record<string, readonly [status, string]>;

export function etcdError(name: keyof typeof errors): EtcdError {
  const [code, message] = errors[name];
  return new EtcdError(code, message);
}

/** A StoreError says the text itself. */
const codes: Readonly<Record<StoreErrorCode, status>> = {
  unreachable: status.UNAVAILABLE,
  unauthorized: status.PERMISSION_DENIED,
  compacted: status.OUT_OF_RANGE,
  future: status.OUT_OF_RANGE,
  "lease-not-found": status.NOT_FOUND,
  "lease-exists": status.FAILED_PRECONDITION,
  "too-large": status.INVALID_ARGUMENT,
  "too-many-operations": status.INVALID_ARGUMENT,
  "no-space": status.RESOURCE_EXHAUSTED,
  invalid: status.INVALID_ARGUMENT,
};

/** What gRPC answers for an error; of one that is not foreseen only that it happened, the rest is for the log. */
export function answerFor(error: unknown): { code: status; message: string; foreseen: boolean } {
  if (error instanceof EtcdError) return { code: error.code, message: error.message, foreseen: true };
  if (error instanceof StoreError) return { code: codeOf(error), message: error.message, foreseen: true };
  return { code: status.INTERNAL, message: "The store failed; the gateway's log says how.", foreseen: false };
}

function codeOf(error: StoreError): status {
  // The one refusal of this kind that etcd counts among the ranges.
  return error.message === "etcdserver: too large lease TTL" ? status.OUT_OF_RANGE : codes[error.code];
}
