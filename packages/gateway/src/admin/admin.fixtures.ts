import assert from "node:assert/strict";
import { request, type IncomingMessage } from "node:http";
import type { TestContext } from "node:test";
import { validateDocument } from "@headgate/schema";
import { FakeClock } from "../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../tests/kit/fake-timers.ts";
import type { Item } from "../control/catalog/view.ts";
import type { ApplyResult, Change, ResourceResult } from "../control/change/change.ts";
import { EventBus } from "../control/events.ts";
import { QueueView } from "../control/queue/view.ts";
import { Instances } from "../control/registry/instances.ts";
import { Report } from "../control/report.ts";
import { silentLog } from "../core/log.ts";
import { Seal } from "../core/seal.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { adminEndpoints } from "./endpoints.ts";
import type { AdminEndpoint } from "./endpoint.ts";
import type { AdminParts, ChangeEngine } from "./parts.ts";
import { startAdmin } from "./server.ts";

export const token = "0123456789abcdef0123456789abcdef";

const { value } = validateDocument({
  services: { s: { instances: [{ address: "127.0.0.1:3000" }] } },
  routes: { a: { match: { path: "/a" }, use: [{ jwt: { secret: "hush-hush-hush" } }], to: "s" } },
  global: [{ headers: { request: { set: { "x-a": "${HOME} ${client.ip}" } } } }],
});
assert.ok(value);
export const { gateway, resources } = value;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: () => Record<string, unknown>;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** An item of the store; `revision` null makes it one of the file. */
export function item(
  kind: Item["kind"],
  name: string,
  revision: number | null,
  written: unknown,
  rest: Partial<Item> = {},
): Item {
  const key = revision === null ? null : `/headgate/${kind}/${name}`;
  return {
    kind,
    name,
    source: revision === null ? "file" : "store",
    key,
    revision,
    value: written,
    live: true,
    problems: [],
    ...rest,
  };
}

export const applyResult: ApplyResult = {
  dryRun: false,
  revision: 42,
  change: "c1",
  transactions: 1,
  diff: [],
  warnings: [],
  unreachable: [],
};

/** An engine that records what it is asked for. */
export class FakeEngine implements ChangeEngine {
  readonly calls: unknown[][] = [];
  /** Thrown by the next call. */
  failure: Error | undefined;
  result: ResourceResult = { ...applyResult, created: false, modRevision: 42 };
  changes: readonly Change[] = [];

  apply: ChangeEngine["apply"] = (...asked) => this.#answer("apply", asked, applyResult);
  put: ChangeEngine["put"] = (...asked) => this.#answer("put", asked, this.result);
  delete: ChangeEngine["delete"] = (...asked) => this.#answer("delete", asked, { ...this.result, modRevision: 0 });
  rollback: ChangeEngine["rollback"] = (...asked) => this.#answer("rollback", asked, applyResult);
  confirm: ChangeEngine["confirm"] = (...asked) => this.#answer("confirm", asked, { change: asked[0] ?? "only" });
  history: ChangeEngine["history"] = (...asked) => {
    this.calls.push(["history", ...asked]);
    return this.changes;
  };

  #answer<T>(name: string, asked: readonly unknown[], result: T): Promise<T> {
    this.calls.push([name, ...asked]);
    return this.failure === undefined ? Promise.resolve(result) : Promise.reject(this.failure);
  }
}

/** An admin server on parts that a test may replace. */
export async function admin(t: TestContext, given: Partial<AdminParts> = {}, extra: readonly AdminEndpoint[] = []) {
  const page = new MetricsPage();
  const source = page.attach("control");
  const metrics = new Metrics((news) => source.accept(news));
  const report = new Report({ now: () => 0, wall: () => 0 }, metrics, silentLog);
  const clock = new FakeClock();
  const events = new EventBus(clock);
  const engine = new FakeEngine();
  const items: Item[] = [];
  const parts: AdminParts = {
    version: "1.2.3",
    node: "v24.0.0",
    pid: 42,
    source: "/etc/headgate.yaml",
    settings: gateway,
    report,
    page,
    resources: () => (report.revision === 0 ? undefined : resources),
    workers: () => [{ id: 1, state: "running", revision: 1, restarts: 0, connections: 5 }],
    addresses: () => [{ address: "[::]:8080", port: 8080 }],
    adminAddress: () => "127.0.0.1:9080",
    explain: (asked) => Promise.resolve({ asked }),
    breathe: () => Promise.resolve(),
    timers: fakeTimers(clock),
    view: {
      items: (kind) => items.filter((one) => one.kind === kind),
      item: (kind, name) => items.find((one) => one.kind === kind && one.name === name),
    },
    changes: engine,
    check: () => Promise.resolve([]),
    discovery: () => [],
    instances: new Instances({
      services: () => resources.services,
      backing: () => undefined,
      ...{ state: () => undefined, report: () => undefined },
    }),
    health: () => ({ instances: 3, up: 3, notUp: [] }),
    circuits: { list: () => [], order: () => undefined },
    queue: new QueueView(
      () => undefined,
      new Seal(undefined),
      () => {},
    ),
    events,
    store: () => undefined,
    ...given,
  };
  const endpoints = [...adminEndpoints(parts), ...extra];
  const server = await startAdmin({ address: "127.0.0.1:0", token, endpoints, log: silentLog });
  t.after(() => server.close());
  const call = (path: string, options: Call = {}): Promise<Answer> => callAt(server.address, path, options);
  const trusted = (path: string, { headers, ...rest }: Call = {}): Promise<Answer> =>
    call(path, { ...rest, headers: { ...headers, authorization: `Bearer ${token}` } });
  return { call, trusted, report, clock, events, engine, items, parts, server, endpoints };
}

function callAt(address: string, path: string, { method = "GET", headers = {}, body }: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(`http://${address}${path}`, { method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: () => JSON.parse(text) as Record<string, unknown>, // every caller asserts what is in it
        }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Opens an event stream; `text()` is what came so far. */
export function openEvents(
  t: TestContext,
  address: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ response: IncomingMessage; text: () => string; ended: Promise<void>; close: () => void }> {
  return new Promise((resolve, reject) => {
    const all = { ...headers, authorization: `Bearer ${token}` };
    const sent = request(`http://${address}/v1/events`, { headers: all, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      const ended = new Promise<void>((done) => response.on("close", () => done()));
      response.on("error", () => undefined);
      resolve({ response, text: () => text, ended, close: () => void sent.destroy() });
    });
    t.after(() => sent.destroy());
    sent.on("error", reject);
    sent.end();
  });
}
