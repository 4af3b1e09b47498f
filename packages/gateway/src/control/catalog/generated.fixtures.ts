import fc from "fast-check";
import { service, type Written } from "./catalog.fixtures.ts";

/** Few names, so that they meet; the same ones for middlewares and plugins, which share a name space. */
const step = fc.constantFrom("m", "n", "p", "probe");
const chain = fc.array(step, { maxLength: 2 });
const serviceName = fc.constantFrom("s", "t");
const tag = fc.constantFrom("/1", "/2", "/3");
const broken = fc.constantFrom<unknown>("no JSON", { nonsense: true });

const resources: readonly [string, readonly string[], fc.Arbitrary<unknown>][] = [
  ["routes", ["a", "b", "c"], fc.record({ match: tag.map((path) => ({ path })), to: serviceName, use: chain })],
  ["services", ["s", "t"], chain.map((use) => ({ ...service, use }))],
  [
    "middlewares",
    ["m", "n"],
    fc.oneof(
      fc.constant({ probe: {} }),
      step.map((name) => ({ [name]: null })),
    ),
  ],
  ["plugins", ["m", "p"], tag.map((source) => ({ source: `export default "${source}"` }))],
  ["settings", ["global"], chain],
];

const change: fc.Arbitrary<[string, unknown]> = fc.oneof(
  ...resources.map(([kind, names, valid]) =>
    fc.tuple(
      fc.constantFrom(...names.map((name) => `${kind}/${name}`)),
      fc.oneof(
        { weight: 6, arbitrary: valid },
        { weight: 1, arbitrary: broken },
        { weight: 3, arbitrary: fc.constant(undefined) },
      ),
    ),
  ),
);

/** What one revision of a store may say: valid, broken, dangling and deleted resources. No consumers. */
export const anyRevision: fc.Arbitrary<Written> = fc
  .array(change, { minLength: 1, maxLength: 5 })
  .map((changes) => Object.fromEntries(changes));

const consumer = fc.oneof(
  { weight: 6, arbitrary: fc.uniqueArray(fc.constantFrom("1", "2", "3"), { minLength: 1 }).map((keys) => ({ keys })) },
  { weight: 1, arbitrary: broken },
  { weight: 2, arbitrary: fc.constant(undefined) },
);

/** Consumers that want each other's keys. */
export const anyConsumers: fc.Arbitrary<Written> = fc
  .array(fc.tuple(fc.constantFrom("consumers/x", "consumers/y", "consumers/z"), consumer), { maxLength: 3 })
  .map((changes) => Object.fromEntries(changes));
