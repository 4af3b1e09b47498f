/** What breaking and outlier detection cost an attempt. `node bench/micro/breaker.ts [--json]` */
import type { CircuitBreakerSettings, OutlierDetectionSettings } from "@headgate/schema";
import { seededRandom } from "../../tests/kit/clock.ts";
import { Breaker, breakerBytes } from "../../packages/gateway/src/proxy/upstream/breaker/breaker.ts";
import { serviceBytes } from "../../packages/gateway/src/proxy/upstream/memory.ts";
import { OutlierDetector } from "../../packages/gateway/src/proxy/upstream/outlier/outlier-detector.ts";
import { OutlierState, outlierStateBytes } from "../../packages/gateway/src/proxy/upstream/outlier/outlier-state.ts";
import { measure, report } from "./measure.ts";

const breaking: CircuitBreakerSettings = {
  failureRatio: 0.5,
  windowMs: 10_000,
  minRequests: 20,
  consecutive: 5,
  openMs: 5_000,
  openMaxMs: 20_000,
  slowCallMs: 2_000,
  slowRatio: 0.8,
  halfOpenRequests: 3,
};

const detecting: OutlierDetectionSettings = {
  maxEjectedRatio: 0.5,
  baseMs: 30_000,
  maxMs: 300_000,
  consecutive: 5,
  intervalMs: 10_000,
};

/** 10,000 attempts a second, so that buckets and intervals end as often as they would. */
const betweenMs = 0.1;

function breaker(): Breaker {
  return new Breaker(new SharedArrayBuffer(breakerBytes), 0, seededRandom(1));
}

/** One attempt through a closed breaker, every `failEvery`th of which fails. */
function attempts(failEvery: number): () => unknown {
  const one = breaker();
  let nowMs = 1_000_000;
  let count = 0;
  return () => {
    nowMs += betweenMs;
    const outcome = ++count % failEvery === 0 ? "failure" : "success";
    return one.record(one.acquire(breaking, nowMs), outcome, 3, breaking, nowMs) ?? one;
  };
}

/** Through the breakers of an instance and of its service, and past detection over ten instances. */
function wholeAttempts(): () => unknown {
  const [ofInstance, ofService] = [breaker(), breaker()];
  const instances = Array.from({ length: 10 }, () => ({
    outlier: new OutlierState(new SharedArrayBuffer(Math.ceil(outlierStateBytes / 8) * 8), 0),
  }));
  const detector = new OutlierDetector(detecting, instances, new SharedArrayBuffer(serviceBytes(4)));
  let nowMs = 1_000_000;
  let at = 0;
  return () => {
    nowMs += betweenMs;
    at = (at + 1) % 10;
    const outlier = instances[at]?.outlier;
    if (outlier === undefined || outlier.ejected(nowMs) || ofInstance.refuses(nowMs)) throw new Error("it is out");
    const permits = [ofService.acquire(breaking, nowMs), ofInstance.acquire(breaking, nowMs), outlier.acquire(nowMs)];
    detector.record(at, "success", nowMs, permits[2] ?? 0);
    ofInstance.record(permits[1] ?? 0, "success", 3, breaking, nowMs);
    return ofService.record(permits[0] ?? 0, "success", 3, breaking, nowMs) ?? ofService;
  };
}

function held(ask: (one: Breaker) => unknown, to: "open" | "closed"): () => unknown {
  const one = breaker();
  one.force(to);
  return () => ask(one);
}

const opened = breaker();
for (let i = 0; i < 5; i++) opened.record(opened.acquire(breaking, 1_000), "failure", 3, breaking, 1_000);

report("Breaking circuits", [
  measure("breaker: let through and record a success", attempts(Infinity)),
  measure("breaker: the same, one in four fails", attempts(4)),
  measure("breaker: refuse while open", () => opened.acquire(breaking, 2_000)),
  measure(
    "breaker: refuse while held open",
    held((one) => one.acquire(breaking, 2_000), "open"),
  ),
  measure("breaker: is it open, asked of an open one", () => opened.refuses(2_000)),
  measure("an attempt: two breakers and detection", wholeAttempts()),
]);
