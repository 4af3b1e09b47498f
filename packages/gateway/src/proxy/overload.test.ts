import assert from "node:assert/strict";
import { test } from "node:test";
import type { Importance } from "@headgate/schema";
import { seededRandom } from "../../../../tests/kit/clock.ts";
import { RawClient, requestText } from "../../../../tests/kit/client.ts";
import type { ProxyInit } from "../../../../tests/kit/proxy.ts";
import { startProxy } from "../../../../tests/kit/proxy.ts";
import type { Scope } from "../../../../tests/kit/scope.ts";
import type { WireResponse } from "../../../../tests/kit/wire.ts";
import { Metrics } from "../telemetry/metrics.ts";
import type { Middleware } from "./middleware.ts";
import { Shedder } from "./overload.ts";

const settings = { utilizationRatio: 0.95, delayMs: 100 };
const servedMs = 0.06;
const refusedMs = 0.015;

/** Counts what is counted in it. */
class CountingMetrics extends Metrics {
  readonly counts: Record<string, number> = {};

  constructor() {
    super(() => {});
  }

  override counter(name: string, labels: Readonly<Record<string, string>> = {}) {
    const key = `${name} ${labels["importance"] ?? ""}`;
    return { add: (amount: number) => void (this.counts[key] = (this.counts[key] ?? 0) + amount) };
  }
}

interface Waiting {
  readonly atMs: number;
  /** None: an echo. */
  readonly importance?: Importance;
}

/** A thread in a table: it sees to what has come in the order in which it came, one after the other. */
class Thread {
  readonly metrics = new CountingMetrics();
  readonly warnings: string[] = [];
  readonly served: Record<Importance, number> = { low: 0, normal: 0, high: 0, critical: 0 };
  readonly refused: Record<Importance, number> = { low: 0, normal: 0, high: 0, critical: 0 };
  /** Of those that were served in the second half of the last run. */
  longestWaitMs = 0;
  nowMs = 10_000;
  readonly #shedder: Shedder;
  #queue: Waiting[] = [];
  #queueAt = 0;
  #onEcho: () => void = () => {};

  constructor(utilization = 1) {
    this.#shedder = new Shedder(settings, {
      clock: { now: () => this.nowMs, wall: () => 0 },
      loop: {
        utilization: () => utilization,
        echo: (received) => {
          this.#onEcho = received;
          return { send: () => void this.#queue.push({ atMs: this.nowMs }), close() {} };
        },
      },
      random: seededRandom(7),
      metrics: this.metrics,
      log: { debug() {}, info() {}, error() {}, warn: (_, message) => void this.warnings.push(message) },
    });
  }

  /** Clients that do not wait for each other: so many times what the thread can do, of these in turn. */
  overload(times: number, mix: readonly Importance[], seconds: number): void {
    const fromMs = this.nowMs;
    let sent = 0;
    this.#run(seconds, () => {
      const due = ((this.nowMs - fromMs) * times) / servedMs;
      for (; sent <= due; sent++) {
        const atMs = fromMs + (sent * servedMs) / times;
        this.#queue.push({ atMs, importance: mix[sent % mix.length] ?? "normal" });
      }
    });
  }

  /** Clients that send the next request when they have an answer. */
  saturate(connections: number, eachMs: number, importance: Importance, seconds: number): void {
    for (let i = 0; i < connections; i++) this.#queue.push({ atMs: this.nowMs, importance });
    this.#run(
      seconds,
      (answered) => {
        if (answered !== undefined) this.#queue.push({ atMs: this.nowMs, importance });
      },
      eachMs,
    );
    // They go away; what was read of them meanwhile is nobody's.
    for (; this.#queueAt < this.#queue.length; this.#queueAt++) {
      if (this.#queue[this.#queueAt]?.importance === undefined) this.#onEcho();
    }
  }

  #run(seconds: number, arrive: (answered: Importance | undefined) => void, eachMs = servedMs): void {
    const fromMs = this.nowMs;
    const untilMs = fromMs + seconds * 1_000;
    this.longestWaitMs = 0;
    let answered: Importance | undefined;
    while (this.nowMs < untilMs) {
      arrive(answered);
      const next = this.#queue[this.#queueAt++];
      answered = next?.importance;
      if (next === undefined) {
        this.#queueAt--;
        this.nowMs += 0.01;
      } else if (next.importance === undefined) this.#onEcho();
      else this.#see(next.atMs, next.importance, eachMs, this.nowMs > (fromMs + untilMs) / 2);
      if (this.#queueAt > 10_000) this.#queue = this.#queue.slice(this.#queueAt);
      this.#queueAt = this.#queueAt > 10_000 ? 0 : this.#queueAt;
    }
  }

  #see(atMs: number, importance: Importance, eachMs: number, late: boolean): void {
    const refused = this.#shedder.refuses(importance, this.nowMs);
    (refused ? this.refused : this.served)[importance]++;
    if (late && !refused) this.longestWaitMs = Math.max(this.longestWaitMs, this.nowMs - atMs);
    this.nowMs += refused ? refusedMs : eachMs;
  }
}

function sum(counts: Readonly<Record<Importance, number>>): number {
  return counts.low + counts.normal + counts.high + counts.critical;
}

for (const [connections, eachMs] of [
  [64, 0.06],
  [1_000, 0.06],
  [1_000, 0.095],
  [4, 20],
] as const) {
  test(`${connections} connections that ask again at once keep it busy with ${eachMs} ms each, and nobody is refused`, () => {
    const thread = new Thread();
    thread.saturate(connections, eachMs, "low", 60);
    assert.equal(sum(thread.refused), 0);
    assert.ok(sum(thread.served) >= 60_000 / eachMs, `${sum(thread.served)} served`);
  });
}

test("one request in hand at a time is never refused, however long each takes", () => {
  const thread = new Thread();
  thread.saturate(1, 90, "low", 60);
  assert.equal(sum(thread.refused), 0);
});

test("a pause of three seconds in light load costs nobody the answer", () => {
  const thread = new Thread();
  thread.overload(0.5, ["low"], 5);
  thread.nowMs += 3_000;
  thread.overload(0.5, ["low"], 5);
  thread.overload(1, ["low"], 0.4);
  assert.equal(sum(thread.refused), 0);
});

test("a thread on which all waits but that was not busy refuses nobody", () => {
  const thread = new Thread(0.5);
  thread.overload(2, ["low"], 10);
  assert.equal(sum(thread.refused), 0);
});

test("with half as much again as it can do, the least important are refused first, and it works on at its limit", () => {
  const thread = new Thread();
  thread.overload(1.5, ["low", "normal", "high", "critical"], 60);
  const { refused, served } = thread;
  const share = (importance: Importance): number => refused[importance] / (refused[importance] + served[importance]);
  assert.equal(refused.critical, 0);
  assert.ok(share("low") > share("normal") && share("normal") > share("high"), JSON.stringify(refused));
  assert.ok(share("high") < 0.01, JSON.stringify(refused));
  assert.ok(sum(served) * servedMs > 60_000 * 0.8, `${sum(served)} served`);
  assert.deepEqual(
    thread.metrics.counts,
    Object.fromEntries(
      Object.entries(refused)
        .filter(([, count]) => count > 0)
        .map(([importance, count]) => [`shed_total ${importance}`, count]),
    ),
  );
  assert.ok(thread.warnings.length >= 1 && thread.warnings.length <= 2, `${thread.warnings.length} lines`);
});

for (const [importance, mostMs] of [
  ["low", 200],
  ["normal", 400],
  ["high", 800],
] as const) {
  test(`with twice as much, all of it ${importance}, those served wait ${mostMs} ms at most, and it works on at its limit`, () => {
    const thread = new Thread();
    thread.overload(2, [importance], 30);
    assert.ok(thread.longestWaitMs <= mostMs && thread.longestWaitMs > mostMs / 2, `${thread.longestWaitMs} ms`);
    // What it costs to refuse the rest is not there for them.
    assert.ok(thread.served[importance] * servedMs > 30_000 * 0.6, `${thread.served[importance]} served`);
  });
}

test("of ten thousand connections that ask again at once, so many are refused that the others are served in time", () => {
  const thread = new Thread();
  thread.saturate(10_000, servedMs, "normal", 30);
  assert.ok(thread.longestWaitMs <= 450, `${thread.longestWaitMs} ms`);
  assert.ok(thread.refused.normal > 0);
});

test("critical ones are never refused", () => {
  const thread = new Thread();
  thread.overload(1.2, ["critical"], 10);
  assert.equal(sum(thread.refused), 0);
});

test("once it keeps up again nobody is refused", () => {
  const thread = new Thread();
  thread.saturate(10_000, servedMs, "normal", 10);
  assert.ok(thread.refused.normal > 0);
  thread.saturate(100, servedMs, "normal", 1);
  const before = thread.refused.normal;
  thread.overload(0.9, ["normal"], 10);
  assert.equal(thread.refused.normal, before);
});

/** A proxy on whose thread all has waited for so long, for seconds. */
async function lateProxy(t: Scope, init: ProxyInit, waitMs = 250) {
  const proxy = await startProxy(t, { overload: settings, ...init });
  const client = await RawClient.connect(t, proxy.port);
  const send = (init?: Parameters<typeof requestText>[1], target = "/"): Promise<WireResponse> => {
    client.send(requestText(target, init));
    return client.response();
  };
  for (let i = 0; i < 8; i++) {
    await send();
    proxy.hold(waitMs);
  }
  return { proxy, client, send };
}

test("a late proxy answers 503 with Retry-After and the request's id before the chain runs, and goes on reading", async (t) => {
  let ran = 0;
  const step: Middleware = (_, next) => {
    ran++;
    return next();
  };
  const { proxy, send } = await lateProxy(t, { step });
  ran = 0;
  const refused = await send();
  assert.equal(refused.status, 503);
  assert.equal(refused.get("retry-after"), "1");
  assert.equal(refused.get("connection"), undefined);
  assert.equal(refused.get("content-type"), "application/problem+json");
  const { code, requestId } = JSON.parse(refused.text) as Record<string, unknown>; // as all error answers
  assert.equal(code, "HG_OVERLOADED");
  assert.match(String(requestId), /^[0-9a-f]{32}$/);
  assert.equal((await send({ method: "POST", body: "abc" })).status, 503);
  assert.equal(ran, 0);
  const shed = proxy.count("shed_total", { importance: "normal" });
  assert.ok(shed >= 2, `${shed} counted`);
  assert.equal(proxy.count("requests_total", { route: "all", status: "503" }), shed);
  proxy.hold(10);
  assert.equal((await send()).status, 200);
  await proxy.atRest();
});

test("a flood of pipelined requests is refused in order, each with its answer", async (t) => {
  const { proxy, client } = await lateProxy(t, {}, 500);
  client.send(requestText("/").repeat(2_000));
  for (let i = 0; i < 2_000; i++) assert.equal((await client.response()).status, 503);
  await proxy.atRest();
});

test("of a late proxy, a route that is more important is still served, and what has no route is answered as ever", async (t) => {
  const route = { importance: "high", match: [{ path: "/" }] } as const;
  const { proxy, send } = await lateProxy(t, { route });
  assert.equal((await send()).status, 200);
  assert.equal((await send({}, "/elsewhere")).status, 404);
  proxy.hold(500);
  assert.equal((await send()).status, 503);
  assert.equal((await send({}, "/elsewhere")).status, 404);
});

test("without settings for it, a late proxy serves everybody", async (t) => {
  const { send } = await lateProxy(t, { overload: undefined }, 5_000);
  assert.equal((await send()).status, 200);
});
