import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { DiscoverSettings, ServiceResource } from "@headgate/schema";
import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../../tests/kit/fake-timers.ts";
import { silentLog } from "../../core/log.ts";
import { InstanceHealth } from "../../proxy/upstream/health/instance-health.ts";
import { serviceMemory, type ServiceMemory } from "../../proxy/upstream/memory.ts";
import type { GatewayEvent } from "../events.ts";
import type { FoundInstance } from "../registry/source.ts";
import { serviceOf } from "./health.fixtures.ts";
import { Monitor } from "./monitor.ts";
import { parseReport, type InstanceReport } from "./report.ts";

/** Three failures in a row leave out, two passes take back. */
export const check = { path: "/healthz", interval: "1s", timeout: "500ms", healthy: 2, unhealthy: 3 };

/** A monitor of one service, `users`; what the checks find, the registry says and instances report is the test's. */
export function open(t: TestContext, { isServing = true } = {}) {
  const clock = new FakeClock();
  const sick = new Set<string>();
  const registered: FoundInstance[] = [];
  let source: DiscoverSettings | undefined;
  const reports = new Map<string, InstanceReport>();
  const events: GatewayEvent[] = [];
  const lines: string[] = [];
  const released: string[] = [];
  const monitor = new Monitor({
    ...{ clock, timers: fakeTimers(clock), random: seededRandom(3) },
    log: {
      ...silentLog,
      info: (_fields, message) => void lines.push(message),
      warn: (_fields, message) => void lines.push(`! ${message}`),
    },
    check: (settings, address) =>
      Promise.resolve(
        sick.has(address) ? { passed: false, reason: `GET ${settings.path} answered 500` } : { passed: true },
      ),
    publish: (event) => void events.push(event),
    sourceOf: () => source,
    find: () => registered,
    report: (name, address) => reports.get(`${name}/${address}`),
    onHeldSick: (held, address) => void released.push(`${JSON.stringify(held)} ${address}`),
  });
  if (isServing) monitor.serving();
  t.after(() => monitor.stop());
  let memory: ServiceMemory | undefined;
  /** The service as the configuration has it now. */
  const set = (addresses: readonly string[], more: object = {}): ServiceResource => {
    const resource = serviceOf({ instances: addresses.map((address) => ({ address })), ...more });
    source = resource.discover;
    const known = memory;
    memory = serviceMemory(resource, 2, known);
    monitor.prepare("users", memory, known);
    monitor.update({ set: { users: resource }, delete: [] }, { users: memory });
    return resource;
  };
  const memoryOf = (address: string): SharedArrayBuffer => {
    const shared = memory?.instances[address];
    assert.ok(shared !== undefined);
    return shared;
  };
  const serviceShared = (): SharedArrayBuffer => {
    assert.ok(memory !== undefined);
    return memory.service;
  };
  /** What workers see of an instance. */
  const seen = (address: string): InstanceHealth => new InstanceHealth(memoryOf(address));
  const report = (address: string, value: object | undefined): void => {
    const key = `users/${address}`;
    const kv = { key, createRevision: 1, modRevision: 1, version: 1, lease: "0" };
    const parsed = value && parseReport({ ...kv, value: Buffer.from(JSON.stringify(value)) }, clock.now());
    if (parsed === undefined) reports.delete(key);
    else reports.set(key, parsed);
    monitor.reported("users", address);
  };
  const told = (): string[] =>
    events.splice(0).map((event) => {
      assert.ok(event.type === "instance" || event.type === "breaker");
      return `${event.instance ?? "-"} ${event.before ?? "none"} -> ${event.state}`;
    });
  const stateOf = (address: string): string | undefined => monitor.state("users", address)?.state;
  return {
    clock,
    events,
    sick,
    registered,
    released,
    lines,
    monitor,
    set,
    seen,
    report,
    told,
    stateOf,
    memoryOf,
    serviceShared,
  };
}
