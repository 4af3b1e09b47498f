import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { pass } from "../../../../../tests/kit/fake-timers.ts";
import type { GatewayEvent } from "../events.ts";
import { check, open } from "./monitor.fixtures.ts";

const addresses = ["a:1", "b:1", "c:1"];
const address = fc.constantFrom(...addresses);
const subset = fc.uniqueArray(address, { maxLength: 3 });

type Step =
  | { readonly do: "configure"; readonly used: readonly string[]; readonly checked: boolean }
  | { readonly do: "sicken"; readonly sick: readonly string[] }
  | { readonly do: "report"; readonly address: string; readonly status: string | undefined }
  | { readonly do: "drain"; readonly address: string; readonly status: "UP" | "DOWN" | "DRAINING" }
  | { readonly do: "hold"; readonly address: string; readonly order: "open" | "closed" | "auto" }
  | { readonly do: "wait"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("configure" as const), used: subset, checked: fc.boolean() }),
  fc.record({ do: fc.constant("sicken" as const), sick: subset }),
  fc.record({ do: fc.constant("report" as const), address, status: fc.constantFrom("UP", "DOWN", undefined) }),
  fc.record({ do: fc.constant("drain" as const), address, status: fc.constantFrom("UP", "DOWN", "DRAINING") }),
  fc.record({ do: fc.constant("hold" as const), address, order: fc.constantFrom("open", "closed", "auto") }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(500, 2_000, 100_000) }),
);

/** Which states say that checks and reports speak against an instance, and which that they do not; of others neither. */
const speaksAgainst = new Set(["unhealthy", "reported-down"]);
const masks = new Set(["draining", "down"]);

test("whatever happens, what people are shown, what workers see and what was told agree", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40, size: "max" }), async (steps) => {
      const bench = open(t);
      const { clock, sick, registered, monitor, set, seen, report, events } = bench;
      let used: readonly string[] = [];
      const held = new Map<string, string>();
      const told = new Chains(events);
      set([], { discover: { etcd: "users" } });
      for (const one of steps) {
        switch (one.do) {
          case "configure":
            used = one.used;
            set(used, { discover: { etcd: "users" }, ...(one.checked ? { healthCheck: check } : {}) });
            told.read();
            told.forget(addresses.filter((name) => !used.includes(name)));
            break;
          case "sicken":
            sick.clear();
            for (const name of one.sick) sick.add(name);
            break;
          case "report":
            report(one.address, one.status === undefined ? undefined : { status: one.status });
            break;
          case "drain": {
            const others = registered.filter((known) => known.address !== one.address);
            registered.splice(0, registered.length, ...others, { address: one.address, status: one.status, weight: 1 });
            monitor.renewed(new Set(["users"]));
            break;
          }
          case "hold":
            if (monitor.circuits.order("users", one.address, one.order, "ann") === undefined) break;
            if (one.order === "auto") held.delete(one.address);
            else held.set(one.address, one.order);
            break;
          case "wait":
            await pass(clock, one.ms, one.ms / 10);
        }
        for (const name of used) {
          const state = monitor.state("users", name)?.state ?? "none";
          const isHeldOpen = held.get(name) === "open";
          if (masks.has(state)) continue;
          assert.equal(state === "open", isHeldOpen, `${name} is ${state}`);
          if (!isHeldOpen) assert.equal(seen(name).available, !speaksAgainst.has(state), `${name} is ${state}`);
        }
      }
      told.read();
      monitor.stop();
    }),
    { numRuns: 200 },
  );
});

/** What was told of each breaker, of which each event goes on where the one before ended. */
class Chains {
  readonly #events: readonly GatewayEvent[];
  readonly #last = new Map<string, string>();
  #read = 0;

  constructor(events: readonly GatewayEvent[]) {
    this.#events = events;
  }

  read(): void {
    for (const event of this.#events.slice(this.#read)) {
      assert.ok(event.type === "instance" || event.type === "breaker");
      const { instance = "", state, before } = event;
      assert.notEqual(before, state);
      // An instance's event leaves out what its breaker's tells, so of those only the breaker's are a chain.
      if (event.type !== "breaker") continue;
      assert.equal(before, this.#last.get(instance) ?? before, `the breaker of ${instance} became ${state}`);
      this.#last.set(instance, state);
    }
    this.#read = this.#events.length;
  }

  /** With an instance its breaker goes, untold; one of the same address that comes later is another one. */
  forget(gone: readonly string[]): void {
    for (const instance of gone) this.#last.delete(instance);
  }
}
