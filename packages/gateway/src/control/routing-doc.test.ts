import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { normalizeTarget } from "../proxy/router/normalize.ts";
import { explain } from "./explain.ts";
import { loadFile } from "./store/file/load.ts";

const page = readFileSync(new URL("../../../../docs/routing.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml]) => yaml ?? "");

/** The rows below the header that begins with `first`, cells without their backticks. */
function table(first: string): string[][] {
  const lines = page.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${first} `));
  const rows = lines.slice(start + 2);
  return rows
    .slice(0, rows.findIndex((line) => !line.startsWith("|")))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", ""))); // prettier-ignore
}

test("the examples of the routing page are valid documents", () => {
  assert.ok(examples.length >= 2);
  for (const yaml of examples) {
    const { problems, value } = loadFile("example.yaml", { env: {}, readFile: () => yaml });
    assert.deepEqual(problems, []);
    assert.ok(value);
  }
});

test("the routes of the routing page take the requests that it says", () => {
  const { value } = loadFile("example.yaml", { env: {}, readFile: () => examples[1] ?? "" });
  assert.ok(value);
  const rows = table("request");
  assert.ok(rows.length >= 10);
  for (const [request = "", expected, because] of rows) {
    const [method = "", url = ""] = request.split(" ");
    const told = explain({ method, url }, value.resources);
    assert.equal(told.route?.name ?? String(told.status), expected, request);
    if (told.allow !== undefined) assert.equal(because, `Allow: ${told.allow.join(", ")}`);
  }
});

test("the paths of the routing page are normalised as it says", () => {
  const rows = table("the client sends");
  assert.ok(rows.length >= 15);
  for (const [target = "", path, matchPath] of rows) {
    const made = normalizeTarget(target);
    if (path === "refused") assert.equal(made, undefined, target);
    else assert.deepEqual(made, { path, search: "", matchPath }, target);
  }
});
