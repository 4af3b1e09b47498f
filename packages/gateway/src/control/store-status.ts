import type { Node } from "./node-report.ts";

/** What is known of the store and of the gateways on it. */
export interface StoreStatus {
  /** This gateway's id. */
  readonly node: string;
  /** `etcd://127.0.0.1:2379/headgate/`, `embedded:./data` */
  readonly url: string;
  readonly kind: "etcd" | "embedded";
  readonly connected: boolean;
  /** One sentence. */
  readonly reason: string;
  /** The newest revision that is known. */
  readonly revision: number;
  /** Where the embedded store serves etcd's API; absent where it does not. */
  readonly listening?: string;
  readonly nodes: readonly (Node & { readonly self: boolean })[];
  /** Changes that take themselves back before that time (ISO 8601) unless confirmed. */
  readonly confirmations: readonly { readonly change: string; readonly before: string }[];
}
