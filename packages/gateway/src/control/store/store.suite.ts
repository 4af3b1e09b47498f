import { leasesSuite } from "./store-leases.suite.ts";
import { rangeSuite } from "./store-range.suite.ts";
import { transactionSuite } from "./store-transactions.suite.ts";
import { watchSuite } from "./store-watch.suite.ts";
import { wornSuite } from "./store-worn.suite.ts";
import type { OpenStore } from "./store.fixtures.ts";

/**
 * The contract of store.ts as tests, for every implementation. `skip`: why they cannot run here, for a store whose
 * server is not on this machine.
 */
export function storeSuite(name: string, open: OpenStore, options: { readonly skip?: string | undefined } = {}): void {
  const skip = options.skip ?? false;
  rangeSuite(name, open, skip);
  transactionSuite(name, open, skip);
  leasesSuite(name, open, skip);
  watchSuite(name, open, skip);
  wornSuite(name, open, skip);
}
