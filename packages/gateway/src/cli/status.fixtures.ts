import type { StatusAnswer } from "./status.ts";

export function gatewayNode(id: string, rest: object = {}): StatusAnswer["nodes"][number] {
  return {
    id,
    self: false,
    version: "1.2.3",
    addresses: ["0.0.0.0:8080"],
    admin: "127.0.0.1:9080",
    revision: 42,
    rejected: [],
    source: "live",
    startedAt: "2026-01-02T03:04:05.678Z",
    ...rest,
  };
}

/** What a gateway on a store answers when all is well. */
export const status = {
  version: "1.2.3",
  runtime: "v24.0.0",
  pid: 42,
  phase: "serving",
  startedAt: "2026-01-02T03:04:05.678Z",
  uptimeSeconds: 7_392.5,
  revision: 42,
  liveSince: "2026-01-02T03:04:10.000Z",
  source: { kind: "store", store: "etcd://127.0.0.1:2379/headgate/" },
  configSource: "live",
  configAgeSeconds: 7.25,
  store: {
    kind: "etcd",
    url: "etcd://127.0.0.1:2379/headgate/",
    connected: true,
    reason: "The store answers.",
    revision: 42,
  },
  node: "gw1",
  nodes: [gatewayNode("gw1", { self: true })],
  confirmations: [],
  problems: [],
  health: { instances: 3, up: 3, notUp: [] },
  discovery: [],
  listening: ["0.0.0.0:8080"],
  admin: "127.0.0.1:9080",
  workers: [
    { state: "running", restarts: 1 },
    { state: "running", restarts: 2 },
    { state: "starting", restarts: 0 },
  ],
} as const satisfies StatusAnswer;
