/** What picking an instance costs, by policy and number of instances. `node bench/micro/balancer.ts [--json]` */
import type { BalanceSettings } from "@headgate/schema";
import { createBalancer } from "../../packages/gateway/src/proxy/upstream/balancer/balancer.ts";
import type { Candidate } from "../../packages/gateway/src/proxy/upstream/balancer/candidate.ts";
import { InstanceLoad } from "../../packages/gateway/src/proxy/upstream/balancer/instance-load.ts";
import { instanceBytes } from "../../packages/gateway/src/proxy/upstream/memory.ts";
import { seededRandom } from "../../tests/kit/clock.ts";
import { measure, report, type MicroResult } from "./measure.ts";

const workers = 4;
const sticky: BalanceSettings = { policy: "sticky", cookie: "hg", path: "/", secure: false };
const hash: BalanceSettings = { policy: "hash", key: { from: "client" } };
const policies: readonly [string, BalanceSettings][] = [
  ["round-robin", { policy: "round-robin" }],
  ["least-requests", { policy: "least-requests" }],
  ["peak-ewma", { policy: "peak-ewma" }],
  ["hash", hash],
  ["hash, loadFactor", { ...hash, loadFactor: 1.25 }],
  ["sticky", sticky],
];

/** Reads shared memory as a real one does: health, breaker and ejection. */
class BenchInstance implements Candidate {
  readonly address: string;
  readonly zone = undefined;
  readonly weight: number;
  readonly load: InstanceLoad;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(address: string, weight: number) {
    const memory = new SharedArrayBuffer(instanceBytes(workers));
    this.address = address;
    this.weight = weight;
    this.load = new InstanceLoad(memory, 1, workers);
    this.#words = new Int32Array(memory);
  }

  available(): boolean {
    return (
      Atomics.load(this.#words, 0) === 0 && Atomics.load(this.#words, 32) === 0 && Atomics.load(this.#words, 64) === 0
    );
  }
  ramp(): number {
    return 1;
  }
  bias(): number {
    return 1;
  }
}

const keys = Array.from({ length: 256 }, (_, i) => `10.0.3.${i}`);
const context: { nowMs: number; excluded: undefined; key: string | undefined } = {
  nowMs: 0,
  excluded: undefined,
  key: undefined,
};

/** A pick and what belongs to it: the attempt begins, is answered and ends. */
function measurePolicy(name: string, settings: BalanceSettings, instances: readonly BenchInstance[]): MicroResult {
  const balancer = createBalancer(settings, instances, {
    random: seededRandom(1),
    preferZone: true,
    panicThreshold: 0.5,
  });
  for (const { load } of instances) {
    load.begin(0);
    load.observe(5, 0);
  }
  let count = 0;
  context.nowMs = 0;
  return measure(name, () => {
    context.nowMs += 0.01;
    context.key = keys[count++ & 255];
    return balancer.pick(context);
  });
}

const results: MicroResult[] = [];
for (const size of [2, 10, 1_000]) {
  for (const [name, settings] of policies) {
    const instances = Array.from({ length: size }, (_, i) => new BenchInstance(`10.1.${i >> 8}.${i & 255}:8080`, 1));
    results.push(measurePolicy(`${name}, ${size} instances`, settings, instances));
  }
}
const uneven = Array.from({ length: 5 }, (_, i) => new BenchInstance(`10.2.0.${i}:8080`, i + 1));
results.push(measurePolicy("peak-ewma, 5 instances of different weights", { policy: "peak-ewma" }, uneven));
const { load } = new BenchInstance("10.3.0.1:8080", 1);
results.push(
  measure("an attempt's begin, observe and end", () => {
    context.nowMs += 0.01;
    load.begin(context.nowMs);
    load.observe(5, context.nowMs);
    load.end(true);
    return load;
  }),
);
report(`Picks, ${workers} workers`, results);
