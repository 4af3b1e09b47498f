/**
 * What a dry run costs the control thread: routing the last 10,000 requests through the live routes and through those
 * after a change, and finding what it makes unreachable. `node bench/micro/replay.ts [routes]`
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Resources, RouteResource } from "@headgate/schema";
import { trafficReport } from "../../packages/gateway/src/control/replay.ts";
import { Routing } from "../../packages/gateway/src/control/routing.ts";
import { middlewares } from "../../packages/gateway/src/middlewares/index.ts";
import { LookedAt } from "../../packages/gateway/src/proxy/looked-at.ts";
import { Recent, recentRequestsMax } from "../../packages/gateway/src/proxy/recent.ts";
import { clientOf, requestOf } from "../../packages/gateway/src/proxy/router/router.fixtures.ts";

const count = Number(process.argv[2] ?? 10_000);

function routeOf(path: string): RouteResource {
  return { match: [{ path }], use: [{ name: "signed-in" }], to: [{ service: "s", weight: 1 }], priority: 0 };
}

function changeOf(size: number): { routes: { set: Record<string, RouteResource>; delete: string[] } } {
  const names = Array.from({ length: size }, (_, i) => i);
  return { routes: { set: Object.fromEntries(names.map((i) => [`new-${i}`, routeOf(`/api/${i}/:id`)])), delete: [] } };
}

function ms(work: () => unknown): string {
  let best = Infinity;
  for (let round = 0; round < 5; round++) {
    const started = performance.now();
    work();
    best = Math.min(best, performance.now() - started);
  }
  return `${best.toFixed(1)} ms`;
}

const entry = { name: "jwt", settings: { secret: "s".repeat(32) } };
const resources: Resources = {
  routes: Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, routeOf(`/api/${i}/*`)])),
  services: {},
  middlewares: { "signed-in": { entry } },
  consumers: {},
  plugins: {},
  global: [],
};
const lookedAt = new LookedAt();
const halves = [0, 1].map((worker) => {
  const recent = new Recent(recentRequestsMax / 2);
  for (let i = 0; i < recentRequestsMax / 2; i++) {
    recent.note(requestOf({ target: `/api/${(i * 7919) % count}/items?page=${worker}` }), clientOf(), i, lookedAt);
  }
  return recent;
});
const routing = new Routing(() => resources);
const live = { resources, routing, authenticator: (name: string) => middlewares.get(name) };

let longest = 0;
let over = false;
const started = performance.now();
const ready = routing.ready().then(() => (over = true));
for (let last = performance.now(); !over; last = performance.now()) {
  await turn();
  longest = Math.max(longest, performance.now() - last);
}
await ready;
console.log(`${count} routes: ready after ${(performance.now() - started).toFixed(0)} ms`);
console.log(`  longest turn meanwhile                ${longest.toFixed(1)} ms`);
console.log(`  telling half of the requests          ${ms(() => halves[0]?.tell(lookedAt))}`);
console.log(`  and its copy for another thread       ${ms(() => structuredClone(halves[0]?.tell(lookedAt)))}`);
const told = halves.map((recent) => recent.tell(lookedAt));
for (const size of [1, 1_000, 10_000]) {
  const change = changeOf(size);
  const report = trafficReport(told, change, live);
  console.log(`  a change of ${size} routes: ${report.moved.reduce((sum, line) => sum + line.count, 0)} requests move`);
  console.log(`    report                              ${ms(() => trafficReport(told, change, live))}`);
  console.log(`    newly unreachable                   ${ms(() => routing.newlyUnreachable(change))}`);
}
