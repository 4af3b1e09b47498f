import { status as codes, type StatusObject } from "@grpc/grpc-js";
import { StoreError, type StoreErrorCode } from "../store.ts";

/** How a call ended that did not succeed. */
export interface CallFailure {
  readonly code: StatusObject["code"];
  /** etcd's text, or gRPC's when the call did not get there. */
  readonly details: string;
  /** The endpoint's URL. */
  readonly endpoint: string;
}

/** What to do about a failure, beside telling it. */
export interface Verdict {
  /** The token was not accepted (expired, forgotten in a restart) or is missing; a new one may help. */
  readonly token: boolean;
  /** Another endpoint may do better. */
  readonly elsewhere: boolean;
  /** The connection is suspect: open a new one. */
  readonly reconnect: boolean;
  /** etcd surely did not carry the call out: even a write may be sent again. */
  readonly nothingDone: boolean;
}

/** etcd's texts are its interface: clients of every language compare them. The first that is part of the details counts. */
const texts: readonly (readonly [string, StoreErrorCode])[] = [
  ["required revision has been compacted", "compacted"],
  ["required revision is a future revision", "future"],
  ["requested lease not found", "lease-not-found"],
  ["lease already exists", "lease-exists"],
  ["too large lease TTL", "invalid"],
  ["request is too large", "too-large"],
  ["larger than max", "too-large"],
  ["too many operations in txn request", "too-many-operations"],
  ["database space exceeded", "no-space"],
  ["permission denied", "unauthorized"],
  ["authentication failed", "unauthorized"],
  ["invalid auth token", "unauthorized"],
  ["user name is empty", "unauthorized"],
  ["user name not found", "unauthorized"],
];

const refusals: ReadonlySet<number> = new Set([
  codes.INVALID_ARGUMENT,
  codes.NOT_FOUND,
  codes.ALREADY_EXISTS,
  codes.FAILED_PRECONDITION,
  codes.OUT_OF_RANGE,
  codes.UNIMPLEMENTED,
]);

/** The contract's code. What is not surely a refusal is `unreachable`: it may have been carried out. */
export function storeErrorCode({ code, details }: Pick<CallFailure, "code" | "details">): StoreErrorCode {
  const known = texts.find(([text]) => details.includes(text));
  if (known !== undefined) return known[1];
  if (code === codes.UNAUTHENTICATED || code === codes.PERMISSION_DENIED) return "unauthorized";
  return refusals.has(code) ? "invalid" : "unreachable";
}

/** Whether a text of etcd says that history is gone. */
export function isCompacted(text: string): boolean {
  return text.includes("required revision has been compacted");
}

export function storeError(failure: CallFailure): StoreError {
  const code = storeErrorCode(failure);
  return new StoreError(code, messageOf(code, failure), { cause: failure });
}

function messageOf(code: StoreErrorCode, { details, endpoint }: CallFailure): string {
  const etcd = `etcd at ${endpoint}`;
  if (details.includes("authentication failed")) {
    return `${etcd} refuses the user name or the password: correct them in the store's address.`;
  }
  if (details.includes("user name is empty")) {
    return `${etcd} asks for a user: put a user name and a password in the store's address.`;
  }
  if (details.includes("permission denied")) {
    return `${etcd} does not allow this user to do that: grant its role the prefix (${details}).`;
  }
  if (code === "no-space") {
    return `${etcd} is full and takes no writes: compact and defragment it, then disarm its alarm (${details}).`;
  }
  if (code !== "unreachable") return `${etcd} refuses this: ${details}.`;
  if (details.startsWith("etcdserver: ")) return `${etcd} cannot serve now: ${details.slice("etcdserver: ".length)}.`;
  return `${etcd} cannot be reached: ${withoutFrame(details)}.`;
}

/** gRPC puts the one useful text between two that are not: "connect ECONNREFUSED 127.0.0.1:2379". */
function withoutFrame(details: string): string {
  return (
    details
      .replace(/\s+/g, " ")
      .replace(/^No connection established\. Last error: (Error( \[\w+\])?: )?/, "")
      .replace(/[. ]*(Resolution note:.*)?$/, "")
      // OpenSSL's own lines name the file and line of its source.
      .replace(/^[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:]*):.*$/, "$1")
      .replace(/ *\(\d{4}-\d\d-\d\dT[^)]*\)/, "")
  );
}

/** Texts of gRPC for calls that found no connection, and of etcd for calls it turned away at its door. */
const nothingDoneTexts = [
  "No connection established",
  "Name resolution failed",
  "Channel closed before call started",
  "etcdserver: no leader",
  "etcdserver: too many requests",
] as const;

const tokenTexts = ["invalid auth token", "user name is empty", "revision of auth store is old"] as const;

export function judge({ code, details }: Pick<CallFailure, "code" | "details">): Verdict {
  const unreachable = storeErrorCode({ code, details }) === "unreachable";
  const token = code === codes.UNAUTHENTICATED || tokenTexts.some((text) => details.includes(text));
  return {
    token,
    elsewhere: unreachable,
    reconnect: unreachable && !details.startsWith("etcdserver:"),
    nothingDone: token || nothingDoneTexts.some((text) => details.startsWith(text)),
  };
}
