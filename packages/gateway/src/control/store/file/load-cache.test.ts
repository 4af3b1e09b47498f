import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { defineMiddleware } from "../../../proxy/middleware.ts";
import { resolve } from "../../resolve.ts";
import { LoadCache } from "./load-cache.ts";
import { loadFiles } from "./load.ts";
import type { LoadedFile, LoadOptions } from "./load.ts";
import { readPieces } from "./piece-tree.ts";
import type { PieceCache } from "./piece-tree.ts";
import { SourceTree } from "./source-tree.ts";

const probe = defineMiddleware({
  name: "probe",
  config: z.strictObject({ depth: z.int().default(1), word: z.string().optional() }),
  build: () => (_exchange, next) => next(),
});
const table = new Map([["probe", probe]]);

type Files = Readonly<Record<string, string>>;
type Env = Readonly<Record<string, string | undefined>>;

function load(files: Files, env: Env, cache?: LoadCache): LoadedFile {
  const options: LoadOptions = {
    env,
    readFile: (path) => files[path] ?? assert.fail(`no file ${path}`),
    resolve: (resources) => resolve(resources, table, new Set(Object.keys(resources.plugins))),
    ...(cache === undefined ? {} : { cache }),
  };
  return loadFiles(
    Object.keys(files).filter((path) => path.endsWith(".yaml")),
    options,
  );
}

/** All that a load answers but the files, with the places of everything that is in it. */
function outcome({ value, problems, origin }: LoadedFile): unknown {
  const places: unknown[] = [origin([]), origin(["routes"]), origin(["nowhere", "at", "all"])];
  for (const [kind, resources] of Object.entries(value?.resources ?? {})) {
    const visit = (path: (string | number)[], part: unknown): void => {
      places.push([path, origin(path)]);
      if (typeof part !== "object" || part === null) return;
      for (const [key, inner] of Object.entries(part)) visit([...path, Array.isArray(part) ? Number(key) : key], inner);
    };
    visit([kind], resources);
  }
  return { value, problems, places };
}

const lines = [
  "routes:",
  "routes: # all of them",
  "services:",
  "global:",
  "global: [probe]",
  "- probe",
  "gateway: { workers: 1 }",
  "gateway:",
  "  workers: 2",
  "  a:",
  "  a: { to: s }",
  "  b:",
  "  c: {",
  "  }",
  "   d: { to: s }",
  '  "quoted": { to: s, use: [probe] }',
  "  'single': { to: s, prio: 1 }",
  "  null: { respond: {} }",
  "  1e3: { respond: {} }",
  "  __proto__: {}",
  "  <<: { e: { to: s } }",
  "  s: { instances: [{ address: 'a:1' }] }",
  "  s: &s { instances: [{ address: 'a:1' }] }",
  "  t: *s",
  "  - item",
  "    to: s",
  "    to: t",
  "    to:",
  "      - { service: s, weight: 1 }",
  "      - service: t",
  "    match: { path: /a }",
  "    match: { path: '/b/*', methods: [GET] }",
  "    match:",
  "      path: /${NAME}",
  "      path: nowhere",
  "      hosts:",
  "      - a.example",
  "    use: [{ probe: { depth: '${DEPTH}' } }]",
  "    use: [{ probe: { depth: deep, word: '${file:/secret}' } }]",
  "    priority: '${DEPTH}'",
  "    respond:",
  "      body: |",
  "        text",
  "      # in it",
  "       less",
  '      body: "open',
  '  closed"',
  "      body: plain",
  "        goes on",
  "  plain",
  "# comment",
  "  # comment",
  "",
  "  ",
  "\t",
  "  \tx: 1",
  "---",
  "...",
  "%YAML 1.2",
  "? key",
  "  ? key",
  "}",
  "x: !!str 1",
  "x: ]",
];

const line = fc.constantFrom(...lines);
const ending = fc.constantFrom("\n", "\n", "\n", "\r\n", "\r");

/** Mostly plausible documents: what comes apart has to be met often, and what does not in every place of it. */
const plausible = fc
  .array(
    fc.tuple(
      fc.constantFrom("routes", "services", "global", "middlewares"),
      fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d", "s", "t", '"q"'), fc.array(line, { maxLength: 3 })), {
        maxLength: 5,
      }),
    ),
    { maxLength: 3 },
  )
  .map((sections) =>
    sections.flatMap(([section, entries]) => [
      `${section}:`,
      ...entries.flatMap(([name, inside]) => [
        `  ${name}:`,
        section === "services" ? "    instances: [{ address: 'a:1' }]" : "    match: { path: /x }",
        ...inside.filter((one) => one.startsWith("    ") || one.startsWith("#")),
      ]),
    ]),
  );

const document = fc.oneof({ weight: 3, arbitrary: plausible }, fc.array(line, { maxLength: 25 }));

type Edit = { readonly at: number; readonly remove: number; readonly insert: readonly string[] };
const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(30),
  remove: fc.nat(2),
  insert: fc.array(line, { maxLength: 2 }),
});

function edited(text: readonly string[], { at, remove, insert }: Edit): string[] {
  const result = [...text];
  result.splice(Math.min(at, text.length), remove, ...insert);
  return result;
}

test("whatever was loaded before, a document loads as if it were the first", () => {
  const environment = fc.record({ NAME: fc.constantFrom("x", "y", undefined), DEPTH: fc.constantFrom("1", "2", "no") });
  const step = fc.record({ edit, env: environment, secret: fc.constantFrom("one", "two") });
  fc.assert(
    fc.property(document, document, ending, fc.array(step, { maxLength: 6 }), (first, other, end, steps) => {
      const cache = new LoadCache();
      let text: readonly string[] = first;
      for (const { edit: change, env, secret } of steps) {
        const files = { "/a.yaml": text.join(end), "/b.yaml": `${other.join("\n")}\n`, "/secret": secret };
        const again = load(files, env, cache);
        const fresh = load(files, env);
        assert.deepEqual(outcome(again), outcome(fresh));
        // Of a broken document, the parts that are not may have been read as well.
        for (const path of fresh.files) assert.ok(again.files.includes(path), path);
        if (fresh.value !== undefined) assert.equal(again.files.length, fresh.files.length);
        text = edited(text, change);
      }
    }),
    { numRuns: 400 },
  );
});

test("a document that comes apart is the same as one that is read whole, line by line and problem by problem", () => {
  const surroundings = { readEnv: () => undefined, readSecret: () => "" };
  let apart = 0;
  fc.assert(
    fc.property(document, ending, fc.boolean(), (written, end, closed) => {
      const text = written.join(end) + (closed ? end : "");
      const whole = new SourceTree(text, surroundings);
      const pieces = readPieces(text, surroundings, new Map());
      if (pieces === undefined) return;
      apart++;
      assert.deepEqual(pieces.value, whole.value);
      assert.deepEqual(pieces.problems, whole.problems);
      assert.deepEqual([...pieces.expanded], [...whole.expanded]);
    }),
    { numRuns: 3000 },
  );
  assert.ok(apart > 100, `only ${apart} documents came apart`);
});

const service = "services:\n  s: { instances: [{ address: 'a:1' }] }\n";

function routes(count: number, changed: number, path: string): string {
  const entries = Array.from(
    { length: count },
    (_, i) =>
      `  r${i}:\n    match: { path: ${i === changed ? path : `/r${i}`} }\n    use: [{ probe: {} }]\n    to: s\n`,
  );
  return `${service}routes:\n${entries.join("")}`;
}

const forms: [string, (text: string) => string][] = [
  ["pieces", (text) => text],
  ["a document with an anchor", (text) => text.replace("s: {", "s: &s {")],
];
for (const [name, form] of forms) {
  test(`routes that did not change are the same objects as before: ${name}`, () => {
    const cache = new LoadCache();
    const before = load({ "/a.yaml": form(routes(20, 7, "/a")) }, {}, cache).value?.resources;
    const after = load({ "/a.yaml": form(`# moved\n${routes(20, 7, "/b")}`) }, {}, cache).value?.resources;
    assert.ok(before !== undefined && after !== undefined);
    for (let i = 0; i < 20; i++) assert.equal(before.routes[`r${i}`] === after.routes[`r${i}`], i !== 7, `r${i}`);
  });
}

test("a route with a number from the environment stays the same object", () => {
  const cache = new LoadCache();
  const text = `${service}routes:\n  r: { to: s, priority: "\${N}", use: [{ probe: { depth: "\${N}" } }] }\n`;
  const before = load({ "/a.yaml": text }, { N: "5" }, cache).value?.resources.routes["r"];
  const after = load({ "/a.yaml": `\n${text}` }, { N: "5" }, cache).value?.resources.routes["r"];
  assert.equal(before?.priority, 5);
  assert.equal(after, before);
  assert.equal(load({ "/a.yaml": text }, { N: "6" }, cache).value?.resources.routes["r"]?.priority, 6);
});

test("a secret that changed is read into a document that did not", () => {
  const cache = new LoadCache();
  const text = 'consumers:\n  a: { keys: ["${file:/secret}"] }\n';
  for (const secret of ["one", "two"]) {
    const { value, files } = load({ "/a.yaml": text, "/secret": secret }, {}, cache);
    assert.deepEqual(value?.resources.consumers["a"]?.keys, [secret]);
    assert.ok(files.includes("/secret"));
  }
});

test("what is kept of a document is what is in it now, also where it cannot be read in pieces", () => {
  const cache: PieceCache = new Map();
  const surroundings = { readEnv: () => undefined, readSecret: () => "" };
  for (const text of [
    routes(5, 1, "/a"),
    routes(5, 2, "/b"),
    `${routes(5, 3, "/c")}  broken: [\n`,
    routes(3, 1, "/d"),
  ]) {
    readPieces(text, surroundings, cache);
    for (const pieces of cache.values()) {
      for (const piece of pieces.keys()) assert.ok(text.includes(piece), `${piece} is kept`);
    }
  }
  assert.equal(cache.get("routes")?.size, 3);
});
