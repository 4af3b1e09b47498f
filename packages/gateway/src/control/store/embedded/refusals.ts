import { StoreError } from "../store.ts";
import type { StoreErrorCode } from "../store.ts";

/** What the store refuses, in etcd's words: etcd's clients compare the text. */
const refusals = {
  compacted: ["compacted", "etcdserver: mvcc: required revision has been compacted"],
  futureRevision: ["future", "etcdserver: mvcc: required revision is a future revision"],
  leaseNotFound: ["lease-not-found", "etcdserver: requested lease not found"],
  leaseExists: ["lease-exists", "etcdserver: lease already exists"],
  leaseTtlTooLarge: ["invalid", "etcdserver: too large lease TTL"],
  requestTooLarge: ["too-large", "etcdserver: request is too large"],
  tooManyOperations: ["too-many-operations", "etcdserver: too many operations in txn request"],
  noSpace: ["no-space", "etcdserver: mvcc: database space exceeded"],
  duplicateKey: ["invalid", "etcdserver: duplicate key given in txn request"],
  emptyKey: ["invalid", "etcdserver: key is not provided"],
  keyNotFound: ["invalid", "etcdserver: key not found"],
  valueProvided: ["invalid", "etcdserver: value is provided"],
  leaseProvided: ["invalid", "etcdserver: lease is provided"],
} as const satisfies Record<string, readonly [StoreErrorCode, string]>;

export type Refusal = keyof typeof refusals;

export function refuse(refusal: Refusal): StoreError {
  const [code, message] = refusals[refusal];
  return new StoreError(code, message);
}
