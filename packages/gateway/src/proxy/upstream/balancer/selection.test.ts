import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import { chiSquare, chiSquareLimit, contextOf, FakeInstance, instancesOf } from "./balancer.fixtures.ts";
import { Selection, type SelectionOptions } from "./selection.ts";

function selectionOf(instances: readonly FakeInstance[], options: Partial<SelectionOptions> = {}): Selection {
  return new Selection(instances, { zone: undefined, panicThreshold: 0.5, biased: false, ...options });
}

/** Addresses of who may be picked. */
function chosen(selection: Selection, context = contextOf()): string {
  selection.look(context);
  return Array.from(selection.indexes.subarray(0, selection.count), (index) => {
    assert.equal(selection.allowed[index], 1);
    return selection.candidates[index]?.address;
  }).join(" ");
}

interface Case {
  readonly rule: string;
  /** Address in short, weight, and after a dash what it is: `down`, `barred`, `tried`. The first letter is the zone. */
  readonly instances: string;
  readonly chosen: string;
  readonly panic?: true;
  readonly panicThreshold?: number;
  readonly zone?: string;
}

const cases: readonly Case[] = [
  { rule: "all that are available", instances: "a1 a2 b1 b2-down", chosen: "a1 a2 b1" },
  { rule: "no weight, no traffic", instances: "a1 a2=0 b1", chosen: "a1 b1" },
  { rule: "not what was tried", instances: "a1 a2-tried b1", chosen: "a1 b1" },
  { rule: "nothing is left", instances: "a1-tried a2-tried", chosen: "" },

  { rule: "the own zone", zone: "a", instances: "a1 a2 b1 b2", chosen: "a1 a2" },
  { rule: "the own zone while half of it is available", zone: "a", instances: "a1 a2-down b1 b2", chosen: "a1" },
  { rule: "all zones below half", zone: "a", instances: "a1 a2-down a3-down b1 b2", chosen: "a1 b1 b2" },
  { rule: "half of its weight, not of its number", zone: "a", instances: "a1=3 a2-down a3-down b1", chosen: "a1" },
  { rule: "the heavy half is down", zone: "a", instances: "a1=3-down a2 a3 b1 b2", chosen: "a2 a3 b1 b2" },
  { rule: "weights of 0 are no part of the zone", zone: "a", instances: "a1 a2=0-down a3=0-down b1", chosen: "a1" },
  { rule: "none in the own zone", zone: "c", instances: "a1 b1", chosen: "a1 b1" },
  { rule: "another zone when all of the own were tried", zone: "a", instances: "a1-tried a2-tried b1", chosen: "b1" },
  { rule: "the own zone when some of it were tried", zone: "a", instances: "a1-tried a2 b1", chosen: "a2" },
  { rule: "the gateway says no zone", instances: "a1 b1", chosen: "a1 b1" },

  { rule: "half available is no panic", instances: "a1 a2-down", chosen: "a1" },
  { rule: "fewer are", instances: "a1 a2-down a3-down", chosen: "a1 a2 a3", panic: true },
  { rule: "none is", instances: "a1-down a2-down", chosen: "a1 a2", panic: true },
  { rule: "weights of 0 do not count in panic", instances: "a1 a2=0-down a3=0-down", chosen: "a1" },
  { rule: "nor are they used in it", instances: "a1-down a2=0", chosen: "a1", panic: true },
  { rule: "never what is barred", instances: "a1 a2-down a3-barred", chosen: "a1 a2", panic: true },
  { rule: "all barred", instances: "a1-barred a2-barred", chosen: "", panic: true },
  {
    rule: "what was tried is not tried again in panic",
    instances: "a1-tried a2-down a3-down",
    chosen: "a2 a3",
    panic: true,
  },
  { rule: "a threshold of 0: never", instances: "a1-down a2-down", chosen: "", panicThreshold: 0 },
  { rule: "a threshold of 1: any one", instances: "a1-down a2 a3", chosen: "a1 a2 a3", panicThreshold: 1, panic: true },
  { rule: "a threshold of 1, all available", instances: "a1 a2", chosen: "a1 a2", panicThreshold: 1 },

  { rule: "a good zone needs no panic", zone: "a", instances: "a1 a2 b1-down b2-down b3-down", chosen: "a1 a2" },
  {
    rule: "panic is over all zones",
    zone: "a",
    instances: "a1-down a2-down b1 b2-down b3-down",
    chosen: "a1 a2 b1 b2 b3",
    panic: true,
  },
  {
    rule: "a zone that fails is no panic while the others carry on",
    zone: "a",
    instances: "a1-down a2-down b1 b2",
    chosen: "b1 b2",
  },
];

for (const { rule, instances: written, chosen: expected, panic = false, zone, panicThreshold = 0.5 } of cases) {
  test(`who may be picked: ${rule}${zone === undefined ? "" : ` (zone ${zone})`}`, () => {
    const excluded = new Set<FakeInstance>();
    const instances = written.split(" ").map((text) => {
      const [named = "", state] = text.split("-");
      const [address = "", weight = "1"] = named.split("=");
      const instance = new FakeInstance(address, Number(weight), address[0]);
      instance.up = state !== "down" && state !== "barred";
      instance.forcedOff = state === "barred";
      if (state === "tried") excluded.add(instance);
      return instance;
    });
    const selection = selectionOf(instances, { zone, panicThreshold });
    assert.equal(chosen(selection, contextOf({ excluded: excluded.size > 0 ? excluded : undefined })), expected);
    assert.equal(selection.panic, panic);
  });
}

test("slow start and, where asked for, reported load make the effective weight smaller", () => {
  const instances = instancesOf([1, 4, 4, 4]);
  for (const [i, ramped] of [1, 0.5, 0.1, 0].entries()) (instances[i] as FakeInstance).ramped = ramped;
  const weightsOf = (biased: boolean): number[] => {
    const selection = selectionOf(instances, { biased });
    selection.look(contextOf());
    assert.equal(selection.even, false);
    return [...selection.weights];
  };
  assert.deepEqual(weightsOf(false), [1, 2, 0.4, 0.4]);
  (instances[0] as FakeInstance).biasedBy = 4;
  assert.deepEqual(weightsOf(false), [1, 2, 0.4, 0.4]);
  assert.deepEqual(weightsOf(true), [0.25, 2, 0.4, 0.4]);
});

test("two draws are two different ones, each pair as often as the weights say", () => {
  for (const weights of [
    [1, 1, 1, 1, 1],
    [1, 2, 3, 4],
    [100, 1, 1],
    [1, 1],
  ]) {
    const selection = selectionOf(instancesOf(weights));
    selection.look(contextOf());
    const random = seededRandom(11);
    const counts: number[] = [];
    const expected: number[] = [];
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const pairs = new Map<string, number>();
    for (let i = 0; i < 40_000; i++) {
      const first = selection.draw(random);
      const second = selection.drawOther(first, random);
      assert.notEqual(first, second);
      pairs.set(`${first} ${second}`, (pairs.get(`${first} ${second}`) ?? 0) + 1);
    }
    for (const [i, one] of weights.entries()) {
      for (const [j, two] of weights.entries()) {
        if (i === j) continue;
        counts.push(pairs.get(`${i} ${j}`) ?? 0);
        expected.push((one / total) * (two / (total - one)));
      }
    }
    // 99.9 % of chi-square for up to 19 degrees of freedom.
    const limit = chiSquareLimit[counts.length - 2] ?? 43.82;
    const value = chiSquare(counts, expected);
    assert.ok(value < limit, `${weights.join()}: chi-square ${value} of ${counts.join()}`);
  }
});

test("draws are inside for every random number and weights of any size", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), { minLength: 2, maxLength: 40 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (weights, one, two) => {
        const selection = selectionOf(instancesOf(weights));
        selection.look(contextOf());
        const first = selection.draw(() => one);
        const second = selection.drawOther(first, () => two);
        for (const place of [first, second]) assert.ok(place >= 0 && place < weights.length);
        assert.notEqual(first, second);
      },
    ),
  );
});

test("many candidates are looked at every ten milliseconds, and at once for what was tried or where none is left", () => {
  const instances = instancesOf(Array.from({ length: 17 }, () => 1));
  let looks = 0;
  const [first] = instances;
  assert.ok(first !== undefined);
  first.available = () => {
    looks++;
    return first.up;
  };
  const selection = selectionOf(instances, { panicThreshold: 0 });
  const looksAt = (nowMs: number, excluded?: ReadonlySet<unknown>): number => {
    looks = 0;
    selection.look(contextOf({ nowMs, excluded }));
    return looks;
  };
  assert.equal(looksAt(1_000), 1);
  assert.equal(looksAt(1_009.9), 0);
  assert.equal(looksAt(1_010), 1);
  assert.equal(looksAt(1_005), 1, "a clock behind the one of the last look");
  assert.equal(looksAt(1_006), 0);
  assert.equal(looksAt(1_006, new Set([first])), 1);
  assert.equal(selection.count, 16);
  assert.equal(looksAt(1_007), 1);
  for (const instance of instances) instance.up = false;
  looksAt(2_000);
  assert.equal(looksAt(2_001), 1);
});

test("what was remembered as available and is not is found out when it is picked", () => {
  const instances = instancesOf(Array.from({ length: 20 }, () => 1));
  const selection = selectionOf(instances, { panicThreshold: 0 });
  selection.look(contextOf({ nowMs: 0 }));
  selection.look(contextOf({ nowMs: 1 }));
  const [first] = instances;
  assert.ok(first !== undefined);
  assert.equal(selection.outdated(0, contextOf({ nowMs: 1 })), false);
  first.up = false;
  assert.equal(selection.outdated(1, contextOf({ nowMs: 1 })), false);
  assert.equal(selection.outdated(0, contextOf({ nowMs: 1 })), true);
  assert.equal(selection.allowed[0], 0);
  assert.equal(selection.count, 19);
});
