import assert from "node:assert/strict";
import { test } from "node:test";
import { pass } from "../../../../../tests/kit/fake-timers.ts";
import type { StateName } from "./instance-state.ts";
import { serviceOf } from "./health.fixtures.ts";
import { check, open } from "./monitor.fixtures.ts";
import { isPanicking } from "./overview.ts";
import type { WatchedService } from "./watched.ts";

test("the overview counts all instances and names those that are not up", async (t) => {
  const { clock, sick, set, monitor } = open(t);
  const addresses = Array.from({ length: 300 }, (_, index) => `a${index}:1`);
  set(addresses, { healthCheck: check });
  assert.deepEqual(monitor.overview(), { instances: 300, up: 300, notUp: [] });
  for (const address of addresses.slice(0, 150)) sick.add(address);
  await pass(clock, 1_000, 100);
  const { instances, up, notUp, more } = monitor.overview();
  assert.deepEqual([instances, up, notUp.length, more], [300, 150, 100, 50]);
  const [first] = notUp;
  assert.deepEqual(
    [first?.service, first?.address, first?.state, first?.reason],
    ["users", "a0:1", "unhealthy", "a check failed: GET /healthz answered 500"],
  );
});

/** A service of which so many instances of a zone, each of this weight, are in this state. */
function serviceWith(
  more: object,
  ...groups: readonly [count: number, state: StateName, zone?: string | undefined, weight?: number][]
) {
  const all = groups.flatMap(([count, state, zone, weight = 1], group) =>
    Array.from({ length: count }, (_, index) => ({ address: `a${group}-${index}:1`, state, zone, weight })),
  );
  const instances = all.map(({ address, zone, weight }) => ({
    address,
    weight,
    ...(zone === undefined ? {} : { zone }),
  }));
  const shown = new Map(all.map(({ address, state }) => [address, { state, sinceWallMs: 0 }]));
  return { resource: serviceOf({ instances, ...more }), shown } as unknown as WatchedService; // all that is looked at
}

for (const [what, service, zone, expected] of [
  ["half of them is enough", serviceWith({}, [2, "up"], [2, "unhealthy"]), undefined, false],
  ["less than half is not", serviceWith({}, [2, "up"], [3, "unhealthy"]), undefined, true],
  [
    "trials and slow starts count as taking",
    serviceWith({}, [1, "half-open"], [1, "starting"], [2, "down"]),
    undefined,
    false,
  ],
  ["what has no weight does not count", serviceWith({}, [1, "up"], [9, "ejected", undefined, 0]), undefined, false],
  ["with a threshold of 0 there is no panic", serviceWith({ panicThreshold: 0 }, [9, "ejected"]), undefined, false],
  ["an own zone that does well prevents it", serviceWith({}, [1, "up", "a"], [3, "ejected", "b"]), "a", false],
  ["one that does not, does not", serviceWith({}, [1, "up", "b"], [3, "ejected", "a"]), "a", true],
  ["nor one that is not preferred", serviceWith({ preferZone: false }, [1, "up", "a"], [3, "ejected", "b"]), "a", true],
] as const) {
  test(`panic: ${what}`, () => assert.equal(isPanicking(service, zone), expected));
}
