import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { run, type Asked } from "./cli.fixtures.ts";

const yaml = "routes:\n  a: {}\n";
const answers = {
  "GET /v1/export": (response: ServerResponse, { query }: Asked): void => {
    response.end(query["format"] === "json" ? '{"routes":{"a":{}}}' : yaml);
  },
};

for (const [args, query, expected] of [
  [[], { format: "yaml" }, yaml],
  [["--secrets"], { format: "yaml", secrets: "true" }, yaml],
  [["-o", "yaml"], { format: "yaml" }, yaml],
  [["-o", "json"], { format: "json" }, '{\n  "routes": {\n    "a": {}\n  }\n}\n'],
  [["--format", "json", "-o", "-"], { format: "json" }, '{\n  "routes": {\n    "a": {}\n  }\n}\n'],
] as const) {
  test(`export ${args.join(" ")} prints the document`, async (t) => {
    const { asked, code, out } = await run(t, answers, ["export", ...args]);
    assert.deepEqual([code, asked[0]?.query, out], [0, query, expected]);
  });
}

test("export -o FILE replaces the file as a whole and lets nobody else read it", async (t) => {
  const { code, cwd, out } = await run(t, answers, ["export", "-o", "live.yaml"], { files: { "live.yaml": "before" } });
  assert.deepEqual([code, out], [0, ""]);
  assert.equal(readFileSync(join(cwd, "live.yaml"), "utf8"), yaml);
  assert.equal(statSync(join(cwd, "live.yaml")).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(cwd), ["live.yaml"]);
});

test("a file that ends in .json holds JSON", async (t) => {
  const { asked, cwd } = await run(t, answers, ["export", "-o", "live.json"]);
  assert.equal(asked[0]?.query["format"], "json");
  assert.deepEqual(JSON.parse(readFileSync(join(cwd, "live.json"), "utf8")), { routes: { a: {} } });
});

test("a file that cannot be written ends in 1, a format that is none in 2", async (t) => {
  const nowhere = await run(t, answers, ["export", "-o", "none/live.yaml"]);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.err, /none\/live\.yaml could not be written \(ENOENT.*name another file with -o\.\n$/);
  const format = await run(t, answers, ["export", "--format", "xml"]);
  assert.deepEqual([format.code, format.asked], [2, []]);
});
