import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { parseWith } from "@headgate/schema";
import { formatOrigin, loadFile, loadFiles } from "./load.ts";
import type { LoadOptions } from "./load.ts";
import { parseSetting } from "./settings.ts";
import { SourceTree } from "./source-tree.ts";

const env = { PORT: "3001", TOKEN: "hunter2-is-secret", EMPTY: "", ATTEMPTS: "3" };

/** Loads from a table of files under /etc; what is not in it does not exist. */
function load(files: Record<string, string>, options: Partial<LoadOptions> = {}) {
  const readFile = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return text;
  };
  const documents = Object.keys(files).filter((path) => /\.(?:yaml|json)$/.test(path));
  return loadFiles(documents, { env, readFile, ...options });
}

/** `file:line:column: path: message` for each problem. */
function told(files: Record<string, string>, options: Partial<LoadOptions> = {}): string[] {
  return load(files, options).problems.map(
    (problem) => `${formatOrigin(problem)}: ${problem.pathText}: ${problem.message}`,
  );
}

const service = `services:\n  s: { instances: [{ address: "127.0.0.1:80" }] }\n`;

const golden: [string, string, string[]][] = [
  ["a mistyped key stands at the key", "rutes:\n  a: {}\n", ['/a.yaml:1:1: rutes: unknown key "rutes"']],
  [
    "a wrong value stands at the value",
    "routes:\n  r:\n    match:\n      path: users\n    respond: {}\n",
    ['/a.yaml:4:13: routes.r.match.path: the path must start with "/"'],
  ],
  [
    "a wrong entry of a list stands at the entry",
    "gateway:\n  trustedProxies: [10.0.0.0/8, 10.0.0.0/99]\n",
    ['/a.yaml:2:32: gateway.trustedProxies[1]: "10.0.0.0/99" is not an address or network such as "10.0.0.0/8"'],
  ],
  [
    "what is missing stands at the nearest part around it",
    "services:\n  s:\n    instances:\n      - weight: 1\n",
    ["/a.yaml:4:9: services.s.instances[0].address: is missing: expected text"],
  ],
  [
    "a wrong map stands at its name",
    "routes:\n  r:\n    match: { path: /a }\n",
    ['/a.yaml:2:3: routes.r: goes nowhere: it needs "to" or "respond"'],
  ],
  [
    "a repeated key",
    "routes:\n  r: { respond: {} }\n  r: { respond: {} }\n",
    ['/a.yaml:3:3: routes.r: the key "r" appears twice'],
  ],
  [
    "a syntax error",
    "routes:\n  r: [\n",
    ["/a.yaml:3:1: : Flow sequence in block collection must be sufficiently indented and end with a ]"],
  ],
  ["a tab as indentation", "routes:\n\tr: {}\n", ["/a.yaml:2:1: : Tabs are not allowed as indentation"]],
  [
    "two documents",
    "routes: {}\n---\nroutes: {}\n",
    ["/a.yaml:2:1: : Source contains multiple documents; please use YAML.parseAllDocuments()"],
  ],
  ["an alias without an anchor", "global: [*x]\n", ['/a.yaml:1:10: global[0]: the alias "*x" has no anchor before it']],
  [
    "an alias to what holds it",
    "global: &x [*x]\n",
    ['/a.yaml:1:13: global[0]: the alias "*x" stands for something that holds it'],
  ],
  [
    "a key that would be a prototype",
    "routes:\n  __proto__: { respond: {} }\n",
    ['/a.yaml:2:3: routes.__proto__: "__proto__" cannot be a key'],
  ],
  ["a list for a document", "- a\n", ["/a.yaml:1:1: : expected a map of sections"]],
  [
    "a variable that is not set",
    'consumers:\n  a: { keys: ["${NOT_SET}"] }\n',
    ["/a.yaml:2:15: consumers.a.keys[0]: the environment variable NOT_SET is not set"],
  ],
  [
    "a file that cannot be read",
    'consumers:\n  a: { keys: ["${file:key}"] }\n',
    ['/a.yaml:2:15: consumers.a.keys[0]: the file "key" could not be read (ENOENT)'],
  ],
  [
    "a variable in lower case",
    'consumers:\n  a: { keys: ["${jwt_secret}"] }\n',
    ['/a.yaml:2:15: consumers.a.keys[0]: "${jwt_secret}" stands for nothing and stays as it is'],
  ],
  ["an empty document", "# nothing\n", ["/a.yaml:1:1: : the document is empty"]],
  [
    "a tag nobody knows",
    "global: !include x\n",
    ["/a.yaml:1:9: : Unresolved tag: !include", "/a.yaml:1:18: global: expected a list, got text"],
  ],
];
for (const [name, text, problems] of golden) {
  test(`${name}: the problem has its position`, () => {
    assert.deepEqual(told({ "/a.yaml": text }), problems);
  });
}

test("JSON is read with the same positions", () => {
  const text = '{\n  "routes": {\n    "r": { "respond": { "status": 9 } }\n  }\n}\n';
  assert.deepEqual(told({ "/a.json": text }), ["/a.json:3:35: routes.r.respond.status: must be at least 200"]);
});

test("JSON with a key twice, a prototype key or a missing variable has the problem at its place", () => {
  assert.deepEqual(told({ "/a.json": '{"routes": {\n"r": {"respond": {}},\n"r": {"respond": {}}}}' }), [
    '/a.json:3:1: routes.r: the key "r" appears twice',
  ]);
  assert.match(told({ "/a.json": '{"routes": {\n"__proto__": {}}}' })[0] ?? "", /a\.json:2:1: .*cannot be a key/);
  assert.deepEqual(told({ "/a.json": '{"consumers": {"a": {\n"keys": ["${NOT_SET}"]}}}' }), [
    "/a.json:2:10: consumers.a.keys[0]: the environment variable NOT_SET is not set",
  ]);
});

test("JSON gives the same value as the YAML it also is", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), (value) => {
      const text = JSON.stringify(value);
      const surroundings = { readEnv: () => undefined, readSecret: () => "" };
      // A comment is not JSON: the same text goes the other way.
      const asYaml = new SourceTree(`${text} # yaml`, surroundings);
      const asJson = new SourceTree(text, surroundings);
      assert.deepEqual(asJson.value, asYaml.value);
      assert.deepEqual(asJson.problems, asYaml.problems);
    }),
    { numRuns: 300 },
  );
});

test("a missing document is a problem of its own", () => {
  const { problems, value } = loadFile("/none.yaml", {
    env,
    readFile: () => {
      throw Object.assign(new Error("x"), { code: "ENOENT" });
    },
  });
  assert.deepEqual(
    problems.map((problem) => `${formatOrigin(problem)}: ${problem.message}`),
    ["/none.yaml: the file does not exist"],
  );
  assert.equal(value, undefined);
});

test("aliases and merge keys share parts of a document", () => {
  const text = `
services:
  a: &base { instances: [{ address: "a:1" }], timeouts: { connect: 1s } }
  b: { <<: *base, instances: [{ address: "b:1" }] }
  c: *base
`;
  const { value, problems, origin } = load({ "/a.yaml": text });
  assert.deepEqual(problems, []);
  const { a, b, c } = value?.resources.services ?? {};
  assert.deepEqual(c, a);
  assert.equal(b?.timeouts.connectMs, 1000);
  assert.equal(b.instances[0]?.address, "b:1");
  assert.equal(origin(["services", "b", "timeouts", "connect"])?.line, 3);
});

test("a few lines that stand for billions of values are refused at once", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 12; i++)
    lines.push(
      `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(", ")}]`,
    );
  const { problems, value } = load({ "/a.yaml": lines.join("\n") });
  assert.ok(problems.some(({ message }) => message === "aliases stand for more than 100000 values"));
  assert.equal(value, undefined);
});

test("nesting beyond reason is refused, however deep", () => {
  for (const depth of [150, 5000]) {
    const { problems, value } = load({ "/a.yaml": `global: ${"[".repeat(depth)}${"]".repeat(depth)}` });
    assert.ok(
      problems.some(({ message }) => message.includes("deep")),
      String(depth),
    );
    assert.equal(value, undefined);
  }
});

test("variables, defaults and files are put into texts", () => {
  const text = `
consumers:
  a: { keys: ["\${TOKEN}", "\${EMPTY:-x}-\${NONE:-y}", "\${file:key.txt}", "$\${TOKEN}"], groups: ["\${client.ip}"] }
services:
  s: { instances: [{ address: "127.0.0.1:\${PORT}" }] }
`;
  const { value, problems, files } = load({ "/etc/a.yaml": text, "/etc/key.txt": "from file\n" });
  assert.deepEqual(problems, []);
  assert.deepEqual(value?.resources.consumers["a"]?.keys, [env.TOKEN, "x-y", "from file", "${TOKEN}"]);
  assert.deepEqual(value.resources.consumers["a"]?.groups, ["${client.ip}"]);
  assert.equal(value.resources.services["s"]?.instances[0]?.address, "127.0.0.1:3001");
  assert.deepEqual(files, ["/etc/a.yaml", "/etc/key.txt"]);
});

test("a variable is read as a number where one is expected, and stays text where text is", () => {
  const schema = z.strictObject({ limit: z.number(), on: z.boolean(), text: z.string() });
  const resolve: LoadOptions["resolve"] = ({ global }) =>
    parseWith(schema, global[0]?.settings, ["global", 0, "x"]).problems;
  const text = `
global: [{ x: { limit: "\${PORT}", on: "\${ON}", text: "\${PORT}" } }]
services:
  s: { instances: [{ address: "a:1" }], retry: { attempts: "\${ATTEMPTS}" } }
`;
  const { value, problems } = load({ "/a.yaml": text }, { env: { ...env, ON: "true" }, resolve });
  assert.deepEqual(problems, []);
  assert.equal(value?.resources.services["s"]?.retry.attempts, 3);
  assert.deepEqual(value.resources.global[0]?.settings, { limit: 3001, on: true, text: "3001" });
  const wrong = load({ "/a.yaml": text }, { env: { ...env, ON: "maybe" }, resolve });
  assert.deepEqual(
    wrong.problems.map(({ pathText }) => pathText),
    ["global[0].x.on"],
  );
});

test("no problem tells what a variable or a file holds", () => {
  const text = `
routes:
  "r": { match: { hosts: ["\${TOKEN}/x"], methods: ["\${TOKEN}"], path: "/:\${TOKEN}" }, to: "\${TOKEN}", timeout: "\${TOKEN}" }
services:
  s: { instances: [{ address: "\${TOKEN}" }, { address: "\${file:key}" }], protocol: "\${TOKEN}" }
gateway: { trustedProxies: ["\${TOKEN}"], workers: "\${file:key}" }
`;
  const resolve: LoadOptions["resolve"] = () => [
    { path: ["routes", "r"], message: `settings hold ${env.TOKEN}`, hint: `not "${env.TOKEN}"`, severity: "error" },
  ];
  for (const options of [{}, { resolve }]) {
    const { problems } = load({ "/a.yaml": text, "/key": "topsecret-from-file\n" }, options);
    assert.ok(problems.length >= 5);
    const all = JSON.stringify(problems).toLowerCase();
    assert.ok(!all.includes("hunter2") && !all.includes("topsecret"), all);
  }
});

test("a problem that a middleware words itself tells no secret either", () => {
  const text = `${service}global: [{ x: { secret: "\${TOKEN}" } }]\n`;
  const resolve: LoadOptions["resolve"] = () => [
    { path: ["global", 0, "x"], message: `the secret ${env.TOKEN} is too short`, severity: "error" },
  ];
  assert.deepEqual(told({ "/a.yaml": text }, { resolve }), [
    "/a.yaml:3:12: global[0].x: the secret ${TOKEN} is too short",
  ]);
});

test("several documents are one, and a name in two of them is a problem that names both places", () => {
  const files = {
    "/a.yaml": `${service}gateway: { workers: 1 }\nroutes:\n  r: { to: s }\n`,
    "/b.yaml": "gateway: { dataDir: ./x }\nroutes:\n  q: { to: s, match: { path: /q } }\n",
  };
  const { value, problems, origin } = load(files);
  assert.deepEqual(problems, []);
  assert.deepEqual(Object.keys(value?.resources.routes ?? {}), ["r", "q"]);
  assert.deepEqual([value?.gateway.workers, value?.gateway.dataDir], [1, "./x"]);
  assert.equal(formatOrigin(origin(["routes", "q", "to"]) ?? assert.fail()), "/b.yaml:3:12");
  const twice = { ...files, "/c.yaml": "gateway: { workers: 2 }\nroutes:\n  r: { to: s }\n" };
  assert.deepEqual(told(twice), [
    "/c.yaml:1:12: gateway.workers: is also in /a.yaml:3:21",
    "/c.yaml:3:3: routes.r: is also in /a.yaml:5:3",
  ]);
});

test("a broken document leaves the others judged, but not their references into it", () => {
  const resolve = () => assert.fail("references are looked at");
  const problems = told({ "/a.yaml": "services: [\n", "/b.yaml": "routes:\n  r: { to: s, prio: 1 }\n" }, { resolve });
  assert.deepEqual(
    problems.map((problem) => problem.slice(0, 12)),
    ["/a.yaml:2:1:", "/b.yaml:2:15"],
  );
});

test("flags beat the file, the file beats variables, and each names itself in problems", () => {
  const options = {
    settings: [parseSetting("routes.r.timeout=5s", "--set"), parseSetting("gateway.listen[0].address=:1", "--listen")],
    defaults: [
      { path: ["gateway", "dataDir"], value: "/env", source: "HEADGATE_DATA_DIR" },
      { path: ["gateway", "workers"], value: 9, source: "HEADGATE_WORKERS" },
    ],
  };
  const text = `${service}gateway: { workers: 2, listen: [{ address: ":2" }] }\nroutes: { r: { to: s, timeout: 1s } }\n`;
  const { value, origin } = load({ "/a.yaml": text }, options);
  assert.equal(value?.resources.routes["r"]?.timeoutMs, 5000);
  assert.deepEqual(value.gateway.listen, [{ address: "0.0.0.0:1" }]);
  assert.deepEqual([value.gateway.workers, value.gateway.dataDir], [2, "/env"]);
  assert.equal(origin(["routes", "r", "timeout"])?.file, "--set");
  assert.deepEqual(told({ "/a.yaml": text }, { settings: [parseSetting("routes.r.timeout=5", "--set")] }), [
    '--set: routes.r.timeout: expected a duration such as "250ms", "1.5s", "1m" or "1h"',
  ]);
});

test("plugins are found beside the document that names them", () => {
  const { value } = load({ "/etc/a.yaml": "plugins: { greet: ./greet.ts, abs: { path: /opt/x.ts } }\n" });
  assert.deepEqual(value?.resources.plugins, { greet: { path: "/etc/greet.ts" }, abs: { path: "/opt/x.ts" } });
});

test("a problem below a shorthand ends where the document does", () => {
  const resolve: LoadOptions["resolve"] = () => [
    { path: ["routes", "r", "to", 0, "service"], message: "there is no service", severity: "error" },
  ];
  assert.deepEqual(told({ "/a.yaml": `${service}routes: { r: { to: t } }\n` }, { resolve }), [
    "/a.yaml:3:20: routes.r.to: there is no service",
  ]);
});

test("no text, however odd, makes loading throw", () => {
  const piece = fc.constantFrom(
    "routes:",
    "\n",
    "  ",
    "- ",
    "a: ",
    "{",
    "}",
    "[",
    "]",
    "*a",
    "&a ",
    "<<: ",
    "? ",
    "| ",
    '"',
    "${PORT}",
    "${file:x}",
    "---",
    "!!binary ",
    "\t",
    "#",
    ", ",
    "1",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof({ weight: 6, arbitrary: piece }, fc.string()), { maxLength: 30 }), (parts) => {
      const { problems, value } = load({ "/a.yaml": parts.join("") });
      assert.equal(
        value === undefined,
        problems.some(({ severity }) => severity === "error"),
      );
      for (const { line, column } of problems) assert.ok(line >= 1 && column >= 1);
    }),
    { numRuns: 500 },
  );
});

const settings: [string, unknown][] = [
  ["gateway.workers=2", { path: ["gateway", "workers"], value: 2, source: "--set" }],
  [
    "gateway.listen[0].address=0.0.0.0:80",
    { path: ["gateway", "listen", 0, "address"], value: "0.0.0.0:80", source: "--set" },
  ],
  ['routes["a.b"].to=s=t', { path: ["routes", "a.b", "to"], value: "s=t", source: "--set" }],
  ["routes.r.match={path: /a}", { path: ["routes", "r", "match"], value: { path: "/a" }, source: "--set" }],
];
for (const [text, setting] of settings) {
  test(`--set reads ${text}`, () => assert.deepEqual(parseSetting(text, "--set"), setting));
}
for (const text of ["", "=1", "a", "a..b=1", "a[x]=1", "a[99999]=1", "a={"]) {
  test(`--set refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseSetting(text, "--set"), Error));
}
