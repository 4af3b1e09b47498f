import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { RawClient, requestText, type RequestInit } from "../kit/client.ts";
import { deadPort } from "../kit/ports.ts";
import { startProxy, type ProxyInit, type ProxyUnderTest } from "../kit/proxy.ts";
import { scriptedUpstream, type UpstreamConnection } from "../kit/upstream.ts";
import { waitFor } from "../kit/wait.ts";

/** What of an exchange in mid-flight a test can get hold of. */
interface Flight {
  readonly proxy: ProxyUnderTest;
  readonly client: RawClient;
  /** The instance's side, once the request is there. */
  asked(): Promise<UpstreamConnection>;
}

interface Ending {
  readonly what: string;
  readonly init?: Partial<ProxyInit>;
  readonly request?: RequestInit;
  readonly end: (flight: Flight) => Promise<void> | void;
  /** Outcomes that are counted, of one attempt each. */
  readonly outcomes: readonly string[];
}

const retry = { attempts: 1, on: ["reset", "connect", "timeout", "503"], budgetRatio: 1, backoffMs: 0 } as const;
const upgrade = { headers: { connection: "upgrade", upgrade: "websocket" } };
const head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";

const endings: readonly Ending[] = [
  {
    what: "an answer",
    end: async ({ asked, client }) => {
      (await asked()).ok();
      await client.response();
    },
    outcomes: ["success"],
  },
  {
    what: "an answer of 500",
    end: async ({ asked, client }) => {
      (await asked()).send("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
      await client.response();
    },
    outcomes: ["error_status"],
  },
  {
    what: "an answer that breaks off",
    end: async ({ asked, client }) => {
      const connection = await asked();
      connection.send(`${head}half`);
      connection.end();
      assert.equal(await client.waitClosed(), "reset");
    },
    outcomes: ["reset"],
  },
  {
    what: "a client that leaves before the head",
    end: async ({ asked, client }) => {
      await asked();
      client.reset();
    },
    outcomes: ["aborted"],
  },
  {
    what: "a client that leaves in the middle of the answer",
    end: async ({ asked, client }) => {
      (await asked()).send(`${head}half`);
      await client.until("half");
      client.reset();
    },
    outcomes: ["aborted"],
  },
  {
    what: "a client that leaves in the middle of its body",
    request: { method: "PUT", headers: { "content-length": "10" } },
    end: async ({ client, proxy }) => {
      client.send("half");
      await waitFor(() => proxy.gauge("upstream_connections active") === 1);
      client.reset();
    },
    outcomes: ["aborted"],
  },
  {
    what: "an instance that stays silent, twice",
    init: { service: { retry } },
    end: async ({ asked, client, proxy }) => {
      for (let i = 0; i < 2; i++) {
        await asked();
        proxy.pass(15_100);
      }
      assert.equal((await client.response()).status, 504);
    },
    outcomes: ["timeout", "timeout"],
  },
  {
    what: "an instance that resets, and then answers",
    init: { service: { retry } },
    end: async ({ asked, client }) => {
      (await asked()).reset();
      (await asked()).ok();
      await client.response();
    },
    outcomes: ["reset", "success"],
  },
  {
    what: "a status that is tried again, and the client leaving while it is held",
    init: { service: { retry: { ...retry, backoffMs: 1_000 } }, timersWait: true, random: () => 0.9 },
    end: async ({ asked, client, proxy }) => {
      (await asked()).send("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
      await waitFor(() => proxy.count("upstream_requests_total") === 1);
      client.reset();
    },
    outcomes: ["error_status"],
  },
  {
    what: "a tunnel that the client ends",
    request: upgrade,
    end: async ({ asked, client, proxy }) => {
      (await asked()).send("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello");
      await client.until("hello");
      // The connection of the tunnel counts for the instance, the exchange no longer for the service.
      assert.equal(proxy.underWay(), 1);
      client.reset();
    },
    outcomes: ["success"],
  },
  {
    what: "a tunnel that the instance ends",
    request: upgrade,
    end: async ({ asked, client }) => {
      const connection = await asked();
      connection.send("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
      await client.response();
      connection.reset();
      await client.waitClosed();
    },
    outcomes: ["success"],
  },
  {
    what: "a step that puts another answer in place of the instance's",
    init: { step: async (exchange, next) => next().then(() => exchange.respond({ status: 418 })) },
    end: async ({ asked, client }) => {
      (await asked()).send(`${head}half`);
      assert.equal((await client.response()).status, 418);
    },
    outcomes: ["aborted"],
  },
  {
    what: "a step that fails after the head",
    init: { step: (_, next) => next().then(() => Promise.reject(new Error("no"))) },
    end: async ({ asked, client }) => {
      (await asked()).send(`${head}half`);
      assert.equal((await client.response()).status, 500);
    },
    outcomes: ["aborted"],
  },
  {
    what: "an attempt hook that fails",
    init: { step: { handle: (_, next) => next(), attempt: () => Promise.reject(new Error("no key")) } },
    end: async ({ client }) => assert.equal((await client.response()).status, 500),
    outcomes: ["aborted"],
  },
  {
    what: "an attempt hook that never comes back, and a client that leaves",
    init: { step: { handle: (_, next) => next(), attempt: () => new Promise<void>(() => {}) } },
    end: async ({ client, proxy }) => {
      await waitFor(() => proxy.underWay() > 0);
      client.reset();
    },
    outcomes: ["aborted"],
  },
  {
    what: "a body that is longer than a step allows",
    request: { method: "PUT", headers: { "transfer-encoding": "chunked" } },
    init: {
      step: (exchange, next) => {
        exchange.request.limitBody(10);
        return next();
      },
    },
    end: async ({ client, proxy }) => {
      client.send("4\r\nhalf\r\n");
      await waitFor(() => proxy.gauge("upstream_connections active") === 1);
      client.send("a\r\n1234567890\r\n");
      assert.equal((await client.response()).status, 413);
    },
    outcomes: ["aborted"],
  },
  {
    what: "an exchange whose time is over",
    init: { route: { timeoutMs: 1_000 } },
    end: async ({ asked, client, proxy }) => {
      await asked();
      proxy.pass(1_100);
      assert.equal((await client.response()).status, 504);
    },
    outcomes: ["timeout"],
  },
  {
    what: "an exchange whose time is over with the answer",
    init: { route: { timeoutMs: 1_000 } },
    end: async ({ asked, client, proxy }) => {
      (await asked()).send(`${head}half`);
      await client.until("half");
      proxy.pass(1_100);
      await client.waitClosed();
    },
    outcomes: ["aborted"],
  },
  {
    what: "an answer that stands still",
    end: async ({ asked, client, proxy }) => {
      (await asked()).send(`${head}half`);
      await client.until("half");
      proxy.pass(60_100);
      await client.waitClosed();
    },
    outcomes: ["timeout"],
  },
  {
    what: "a service without a slot",
    init: { service: { concurrency: { type: "fixed", limit: 1 } } },
    end: async ({ asked, client, proxy }) => {
      const first = await asked();
      const second = await RawClient.connect({ after: () => {} }, proxy.port);
      second.send(requestText("/"));
      const refused = await second.response();
      assert.deepEqual([refused.status, refused.get("retry-after")], [503, "1"]);
      second.close();
      first.ok();
      await client.response();
    },
    outcomes: ["success"],
  },
  {
    what: "an instance without a free connection",
    init: { service: { pool: { max: 1, idleMs: 1_000 } } },
    end: async ({ asked, client, proxy }) => {
      const first = await asked();
      const second = await RawClient.connect({ after: () => {} }, proxy.port);
      second.send(requestText("/"));
      await waitFor(() => proxy.underWay() >= 6);
      proxy.pass(2_100);
      assert.equal((await second.response()).status, 503);
      second.close();
      first.ok();
      await client.response();
    },
    outcomes: ["overloaded", "success"],
  },
];

/** A breaker that never opens, detection, and a limit: all that counts attempts. */
const counting: ProxyInit["service"] = {
  circuitBreaker: {
    failureRatio: 1,
    windowMs: 10_000,
    minRequests: 1_000,
    consecutive: 1_000,
    openMs: 5_000,
    openMaxMs: 5_000,
    slowRatio: 1,
    halfOpenRequests: 1,
  },
  outlierDetection: { maxEjectedRatio: 1, baseMs: 1_000, maxMs: 1_000, consecutive: 1_000, intervalMs: 10_000 },
  concurrency: { type: "fixed", limit: 100 },
};

async function takeOff(t: TestContext, { init, request }: Ending): Promise<Flight> {
  const asked: UpstreamConnection[] = [];
  let taken = 0;
  const upstream = await scriptedUpstream(t, async (connection) => {
    for (;;) {
      await connection.request();
      asked.push(connection);
    }
  });
  const proxy = await startProxy(t, {
    instance: upstream.address,
    ...init,
    service: { ...counting, ...init?.service },
  });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/", request));
  return { proxy, client, asked: () => waitFor(() => asked[taken] && asked[taken++]) };
}

for (const ending of endings) {
  test(`nothing is left counted after ${ending.what}`, async (t) => {
    const flight = await takeOff(t, ending);
    const { proxy } = flight;
    await ending.end(flight);
    await waitFor(() => proxy.finished.length > 0);
    await proxy.atRest();
    await waitFor(() => proxy.underWay() === 0, { what: () => `${proxy.underWay()} to be 0` });
    const outcomes = ["success", "error_status", "connect", "reset", "timeout", "aborted", "overloaded", "protocol"];
    const counted = outcomes.flatMap((outcome) => {
      const count = proxy.count("upstream_requests_total", { outcome });
      return Array.from({ length: count }, () => outcome);
    });
    assert.deepEqual(counted.sort(), [...ending.outcomes].sort());
  });
}

test("nothing is left counted after instances that refuse connections", async (t) => {
  const addresses = [`127.0.0.1:${await deadPort()}`, `127.0.0.1:${await deadPort()}`];
  const proxy = await startProxy(t, { instances: addresses, service: { ...counting, retry } });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/", { method: "POST", body: "x" }));
  assert.equal((await client.response()).status, 502);
  await proxy.atRest();
  assert.equal(proxy.count("upstream_requests_total", { outcome: "connect" }), 2);
  assert.equal(proxy.underWay(), 0);
});

test("a trial whose client leaves is given back: the next request is one", async (t) => {
  const asked: UpstreamConnection[] = [];
  const upstream = await scriptedUpstream(t, async (connection) => {
    for (;;) {
      await connection.request();
      asked.push(connection);
    }
  });
  const circuitBreaker = { ...counting.circuitBreaker, consecutive: 1, openMs: 1_000 } as NonNullable<
    NonNullable<ProxyInit["service"]>["circuitBreaker"]
  >; // all of its fields are there
  const proxy = await startProxy(t, { instance: upstream.address, service: { circuitBreaker } });
  const ask = async (): Promise<RawClient> => {
    const client = await RawClient.connect(t, proxy.port);
    client.send(requestText("/"));
    return client;
  };
  const answered = async (client: RawClient): Promise<number> => (await client.response()).status;

  const failed = await ask();
  await waitFor(() => asked.length === 1);
  asked[0]?.send("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
  assert.equal(await answered(failed), 500);
  proxy.pass(1_000);
  const trial = await ask();
  await waitFor(() => asked.length === 2);
  assert.equal(await answered(await ask()), 503);
  trial.reset();
  await waitFor(() => proxy.finished.length === 3);
  const next = await ask();
  await waitFor(() => asked.length === 3);
  // It streams: that it has for a while is enough, and others need not wait for its end.
  asked[2]?.send(`${head}half`);
  await next.until("half");
  assert.equal(await answered(await ask()), 503);
  proxy.pass(1_100);
  const after = await ask();
  await waitFor(() => asked.length === 4);
  asked[3]?.ok();
  assert.equal(await answered(after), 200);
});
