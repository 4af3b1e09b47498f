import type { BalanceSettings } from "@headgate/schema";
import { balancerSuite } from "./balancer.suite.ts";
import { createBalancer } from "./balancer.ts";

const sticky: BalanceSettings = { policy: "sticky", cookie: "hg", path: "/", secure: false };
const hash: BalanceSettings = { policy: "hash", key: { from: "client" } };
const none = (): undefined => undefined;
const each = (request: number): string => `10.0.${request >> 8}.${request & 255}`;

const policies: readonly [string, BalanceSettings, (request: number) => string | undefined][] = [
  ["round-robin", { policy: "round-robin" }, none],
  ["least-requests", { policy: "least-requests" }, none],
  ["peak-ewma", { policy: "peak-ewma" }, none],
  ["hash", hash, each],
  ["hash with a bound", { ...hash, loadFactor: 1.25 }, each],
  ["hash without the text", hash, none],
  ["sticky without a cookie", sticky, none],
  ["sticky with cookies that name none", sticky, each],
];

for (const [name, settings, key] of policies) {
  balancerSuite(name, (candidates, options) => createBalancer(settings, candidates, options), key);
}
