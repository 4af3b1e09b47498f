import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { ServiceResource } from "../../packages/schema/src/index.ts";
import { RawClient, requestText } from "../kit/client.ts";
import { seededRandom } from "../kit/clock.ts";
import { startProxy, type ProxyUnderTest } from "../kit/proxy.ts";
import type { Scope } from "../kit/scope.ts";
import { scriptedUpstream, type ScriptedUpstream, type UpstreamConnection } from "../kit/upstream.ts";
import { waitFor } from "../kit/wait.ts";

const head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";

/** What an instance may do with a request. */
const deeds = {
  ok: (connection) => connection.ok(),
  error: (connection) => connection.send("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
  busy: (connection) => connection.send("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nretry-after: 1\r\n\r\nbusy"),
  early: (connection) => connection.send("HTTP/1.1 103 Early\r\n\r\n"),
  silent: () => {},
  half: (connection) => connection.send(`${head}half`),
  cut: (connection) => {
    connection.send(`${head}half`);
    connection.end();
  },
  reset: (connection) => connection.reset(),
  closing: (connection) => connection.send("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
  nonsense: (connection) => connection.send("\r\n\r\n\r\n"),
} satisfies Record<string, (connection: UpstreamConnection) => void>;
type Deed = keyof typeof deeds;

/** What a client may do. */
interface Asked {
  readonly method: "GET" | "PUT" | "POST";
  /** Of its body, how much is sent before it waits; the rest follows, or never. */
  readonly body: "none" | "whole" | "slow" | "stuck";
  /** After so many turns of 50 ms it goes away. */
  readonly patience: number;
}

const service: Partial<ServiceResource> = {
  retry: { attempts: 2, on: ["connect", "reset", "timeout", "503"], budgetRatio: 1, backoffMs: 100, perTryMs: 2_000 },
  hedging: { afterMs: 300, max: 2 },
  pool: { max: 4, idleMs: 60_000 },
  timeouts: { connectMs: 1_000, firstByteMs: 3_000, idleMs: 5_000 },
  concurrency: { type: "fixed", limit: 12 },
  outlierDetection: { maxEjectedRatio: 0.5, baseMs: 2_000, maxMs: 4_000, consecutive: 4, intervalMs: 5_000 },
  circuitBreaker: {
    failureRatio: 0.5,
    windowMs: 5_000,
    minRequests: 10,
    consecutive: 5,
    openMs: 1_000,
    openMaxMs: 2_000,
    slowRatio: 0.8,
    slowCallMs: 500,
    halfOpenRequests: 2,
  },
};

/** One client: asks, and leaves after its patience is over or some turns after it was answered. */
async function visit(scope: Scope, proxy: ProxyUnderTest, { method, body, patience }: Asked): Promise<void> {
  const client = await RawClient.connect(scope, proxy.port);
  const text = "0123456789".repeat(2_000);
  if (body === "none") client.send(requestText("/", { method }));
  else {
    client.send(`${method} / HTTP/1.1\r\nhost: a\r\ncontent-length: ${text.length}\r\n\r\n`);
    client.send(body === "whole" ? text : text.slice(0, 5_000));
  }
  let left = patience;
  for (let turn = 0; turn < left; turn++) {
    if (turn === 3 && body === "slow") client.send(text.slice(5_000));
    if (client.received.includes("HTTP/1.1 ")) left = Math.min(left, turn + 3);
    await nextTurn();
    proxy.pass(50);
  }
  client.reset();
  await client.closed;
}

/** Whatever is ready happens, on all sides of a few connections. */
async function nextTurn(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function run(deedsInOrder: readonly Deed[], visits: readonly Asked[]): Promise<void> {
  const ends: (() => void)[] = [];
  const scope: Scope = { after: (end) => void ends.push(() => void end()) };
  let at = 0;
  const script = async (connection: UpstreamConnection): Promise<void> => {
    for (;;) {
      await connection.request();
      deeds[deedsInOrder[at++ % deedsInOrder.length] ?? "ok"](connection);
    }
  };
  const upstreams: ScriptedUpstream[] = [];
  for (let i = 0; i < 3; i++) upstreams.push(await scriptedUpstream(scope, script));
  const proxy = await startProxy(scope, {
    instances: upstreams.map(({ address }) => address),
    route: { timeoutMs: 8_000 },
    service,
    timersWait: true,
    random: seededRandom(1),
  });
  try {
    await Promise.all(visits.map((asked) => visit(scope, proxy, asked)));
    await waitFor(
      () => {
        proxy.pass(500);
        return proxy.underWay() === 0 && proxy.gauge("upstream_connections active") === 0;
      },
      { what: () => `${proxy.underWay()} under way, ${proxy.gauge("upstream_connections active")} connections` },
    );
    assert.deepEqual(proxy.logged, []);
    const attempts = proxy.finished.reduce((sum, exchange) => sum + exchange.attempts, 0);
    assert.equal(proxy.count("upstream_requests_total"), attempts);
  } finally {
    for (const end of ends.reverse()) end();
  }
}

test("whatever instances and clients do, and in whatever order, nothing is left counted or open", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...(Object.keys(deeds) as Deed[])), { minLength: 1, maxLength: 12 }), // their names
      fc.array(
        fc.record({
          method: fc.constantFrom("GET", "PUT", "POST"),
          body: fc.constantFrom("none", "whole", "slow", "stuck"),
          patience: fc.integer({ min: 1, max: 200 }),
        }),
        { minLength: 1, maxLength: 16 },
      ),
      (deedsInOrder, visits) => run(deedsInOrder, visits),
    ),
    { numRuns: 100, endOnFailure: true },
  );
});
