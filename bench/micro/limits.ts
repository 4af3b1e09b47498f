/** What limits cost an exchange, and what it costs to refuse one at the door. `node bench/micro/limits.ts [--json]` */
import { GatewayError } from "../../packages/gateway/src/core/errors.ts";
import { Exchange, ExchangeRequest } from "../../packages/gateway/src/proxy/exchange.ts";
import { Fields } from "../../packages/gateway/src/proxy/http1/fields.ts";
import { Shedder } from "../../packages/gateway/src/proxy/overload.ts";
import { answerWithError, gatewayAnswer } from "../../packages/gateway/src/proxy/respond.ts";
import { ConcurrencyLimiter } from "../../packages/gateway/src/proxy/upstream/concurrency/limiter.ts";
import { serviceMemory } from "../../packages/gateway/src/proxy/upstream/memory.ts";
import { ServiceLoad } from "../../packages/gateway/src/proxy/upstream/service-load.ts";
import { Metrics } from "../../packages/gateway/src/telemetry/metrics.ts";
import { seededRandom } from "../../tests/kit/clock.ts";
import { measure, report } from "./measure.ts";

const workers = 4;
let nowMs = 0;

function limiterOf(settings: ConstructorParameters<typeof ConcurrencyLimiter>[0]): ConcurrencyLimiter {
  const { service, concurrency } = serviceMemory({ instances: [], concurrency: settings }, workers);
  if (concurrency === undefined) throw new Error("there is a limit");
  return new ConcurrencyLimiter(settings, concurrency, new ServiceLoad(service, 1, workers));
}

/** A slot taken, the time of an answer told, the slot freed. */
function pass(limiter: ConcurrencyLimiter): void {
  nowMs += 0.01;
  limiter.acquire(nowMs, "normal");
  limiter.observe("success", 5, nowMs);
  limiter.release("ignored", 0, nowMs);
}

const fixed = limiterOf({ type: "fixed", limit: 100 });
const adaptive = limiterOf({ type: "adaptive", min: 1, max: 1_000, initial: 20 });
const full = limiterOf({ type: "fixed", limit: 1 });
full.acquire(0);
const load = new ServiceLoad(serviceMemory({ instances: [] }, workers).service, 1, workers);

let onEcho = (): void => {};
const shedder = new Shedder(
  { utilizationRatio: 0.95, delayMs: 100 },
  {
    clock: { now: () => nowMs, wall: () => 0 },
    loop: { utilization: () => 1, echo: (received) => ((onEcho = received), { send() {}, close() {} }) },
    random: seededRandom(1),
    metrics: new Metrics(() => {}),
    log: { debug() {}, info() {}, warn() {}, error() {} },
  },
);
const calm = measure("ask the shedder, nothing to refuse", () => {
  nowMs += 0.01;
  return shedder.refuses("normal", nowMs);
});
for (let i = 0; i < 10; i++) {
  onEcho();
  shedder.refuses("normal", (nowMs += 50));
  nowMs += 500;
}
onEcho();

const headers = Fields.from({ host: "api.example.com", accept: "*/*" });
const client = { ip: "127.0.0.1", port: 40000, peer: "127.0.0.1", scheme: "http", localPort: 8080 } as const;

function answer(error: GatewayError): { head: string; body: Uint8Array | undefined } {
  const exchange = new Exchange(
    new ExchangeRequest({
      method: "GET",
      target: "/api/users/42",
      host: "api.example.com",
      headers,
      matchPath: "/api/users/42",
      path: "/api/users/42",
      search: "",
      framing: "none",
      contentLength: -1,
    }),
    client,
    () => "0123456789abcdef0123456789abcdef",
  );
  answerWithError(exchange, error);
  return gatewayAnswer(exchange, "", 0);
}

if (!shedder.refuses("normal", nowMs)) throw new Error("it has to refuse");

report("Limits", [
  measure("an exchange and its end", () => {
    load.beginExchange();
    load.endExchange();
  }),
  measure("ask for a retry and end it", () => {
    load.beginExchange();
    if (load.tryRetry(1, nowMs)) load.endRetry();
    load.endExchange();
  }),
  measure("a slot of a fixed limit", () => pass(fixed)),
  measure("a slot of an adaptive limit", () => pass(adaptive)),
  measure("no slot", () => full.acquire((nowMs += 0.01), "normal")),
  calm,
  measure("ask the shedder, all refused", () => shedder.refuses("normal", nowMs)),
  measure("make the answer of a refusal", () => answer(shedder.refusal)),
  measure("the same with an error made for it", () =>
    answer(new GatewayError("HG_OVERLOADED", shedder.refusal.details)),
  ),
]);
