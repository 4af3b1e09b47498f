import assert from "node:assert/strict";
import type { GatewayOptions, GatewayProcess, GatewayStatus } from "./gateway.ts";
import { startGateway } from "./gateway.ts";
import { says, type Question } from "./load.ts";
import type { Scope } from "./scope.ts";
import { waitFor } from "./wait.ts";

/** Resources by kind and name, as `routes/users`, with the revision that wrote them. */
export type State = Readonly<Record<string, { readonly revision: number; readonly value: unknown }>>;

const kinds = ["routes", "services", "middlewares", "consumers", "certificates", "plugins", "settings"] as const;

/** The state afterwards equals the store's within this, from the moment the store answers again. */
export const catchUpMsMax = 3_000;

/** What tests read of `GET /v1/status` of a gateway with a store. */
export interface StoreStatus extends GatewayStatus {
  readonly configSource: "live" | "cache";
  readonly configAgeSeconds: number;
  readonly store: { readonly connected: boolean; readonly reason: string; readonly revision: number };
  readonly node: string;
  readonly nodes: readonly {
    readonly id: string;
    readonly self: boolean;
    readonly revision: number;
    readonly rejected: readonly StoredRejection[];
  }[];
  readonly confirmations: readonly { readonly change: string; readonly before: string }[];
  readonly problems: readonly (GatewayStatus["problems"][number] & {
    readonly severity: "error" | "warning";
    readonly path: string;
    readonly key?: string;
    readonly revision?: number;
  })[];
}

export interface StoredRejection {
  readonly kind: string;
  readonly name: string;
  readonly key: string;
  readonly revision: number | null;
  readonly message: string;
}

interface Item {
  readonly kind: string;
  readonly name: string;
  readonly revision: number | null;
  readonly value: unknown;
  readonly live: boolean;
}

/** Starts a gateway on the etcd at an address, `host:port[,host:port]`, and waits until it serves. */
export function startStoreGateway(
  scope: Scope,
  address: string,
  { args = [], ...options }: GatewayOptions = {},
): Promise<GatewayProcess> {
  return startGateway(scope, { ...options, args: ["--store", `etcd://${address}/headgate/`, ...args] });
}

export async function storeStatus(gateway: GatewayProcess): Promise<StoreStatus> {
  return (await gateway.status()) as StoreStatus; // a gateway with a store says more
}

/** Waits until the status is as wanted. */
export function untilStatus(
  gateway: GatewayProcess,
  what: string | (() => string),
  wanted: (status: StoreStatus) => boolean,
  deadlineMs = 20_000,
): Promise<StoreStatus> {
  let last: StoreStatus | undefined;
  return waitFor(
    async () => {
      last = await storeStatus(gateway);
      return wanted(last) ? last : undefined;
    },
    {
      what: () =>
        `${typeof what === "string" ? what : what()}; status: ${JSON.stringify(last)}; log: ${gateway.logs.stderr.slice(-3_000)}`,
      deadlineMs,
    },
  );
}

/** The resources in a store, asked for with etcdctl. Values that are no JSON are undefined. */
export async function etcdState(etcd: { ctl(...args: string[]): Promise<string> }): Promise<State> {
  const listed = JSON.parse(await etcd.ctl("get", "--prefix", "/headgate/", "--write-out=json")) as {
    readonly kvs?: readonly { readonly key: string; readonly value?: string; readonly mod_revision: number }[];
  }; // etcdctl's form
  const state: Record<string, State[string]> = {};
  for (const { key, value = "", mod_revision } of listed.kvs ?? []) {
    const [, , kind = "", name = ""] = Buffer.from(key, "base64").toString().split("/");
    if (!kinds.some((known) => known === kind)) continue;
    state[`${kind}/${name}`] = { revision: mod_revision, value: parsed(Buffer.from(value, "base64").toString()) };
  }
  return state;
}

/** The resources a gateway says it has; those whose newest version does not run are marked `not live`. */
export async function gatewayState(gateway: GatewayProcess): Promise<State> {
  const state: Record<string, State[string]> = {};
  for (const kind of kinds) {
    const response = await gateway.admin(`/v1/${kind}?details=true`);
    assert.equal(response.status, 200, `GET /v1/${kind}`);
    const { items } = (await response.json()) as { readonly items: readonly Item[] }; // the admin API's contract
    for (const { name, revision, value, live } of items) {
      state[`${kind}/${name}${live ? "" : " (not live)"}`] = { revision: revision ?? 0, value };
    }
  }
  return state;
}

/**
 * Waits until a gateway runs exactly what a store holds, all of it; fails when that takes longer than `withinMs`. The
 * store must not change meanwhile.
 */
export async function assertCaughtUp(
  gateway: GatewayProcess,
  etcd: { ctl(...args: string[]): Promise<string> },
  withinMs = catchUpMsMax,
): Promise<void> {
  const startedMs = performance.now();
  const wanted = await etcdState(etcd);
  let have: State = {};
  try {
    await waitFor(
      async () => {
        have = await gatewayState(gateway);
        return same(have, wanted);
      },
      { deadlineMs: Math.max(1, withinMs - (performance.now() - startedMs)) },
    );
  } catch (error) {
    const { store } = await storeStatus(gateway);
    assert.deepEqual(have, wanted, `not what etcd holds after ${withinMs} ms; store: ${JSON.stringify(store)}`);
    throw error;
  }
}

function same(a: State, b: State): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(state: State): unknown {
  return Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function respondRoute(path: string, body: string): object {
  return { match: { path }, respond: { status: 200, body } };
}

/** A configuration that a load asks about, and enough beside it for "most of it" to mean something. */
export function steadyResources(instance: string): Record<string, unknown> {
  const fillers = Array.from({ length: 30 }, (_, n) => [
    `/headgate/routes/filler-${n}`,
    respondRoute(`/filler/${n}`, `filler ${n}`),
  ]);
  return {
    "/headgate/services/echo": { instances: [{ address: instance }] },
    "/headgate/routes/echo": { match: { path: "/echo/*" }, to: "echo" },
    "/headgate/routes/steady": respondRoute("/steady", "steady"),
    "/headgate/middlewares/marked": { headers: { response: { set: { "x-mark": "yes" } } } },
    "/headgate/routes/marked": { ...respondRoute("/marked", "marked"), use: ["marked"] },
    ...Object.fromEntries(fillers),
  };
}

/** Requests that `steadyResources` answer, whatever happens to the store. */
export const steadyQuestions: readonly Question[] = [
  says("/steady", "steady"),
  {
    target: "/marked",
    judge: (status, body, headers) =>
      status === 200 && headers["x-mark"] === "yes" ? undefined : `${status} ${body.slice(0, 200)}`,
  },
  {
    target: "/echo/bytes/10",
    judge: (status, body) => (status === 200 && body.length === 10 ? undefined : `${status}`),
  },
  says("/filler/7", "filler 7"),
];
