import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { loadFile } from "./store/file/load.ts";

const page = readFileSync(new URL("../../../../docs/balancing.md", import.meta.url), "utf8");

/** An example that shows the line of a service stands for a whole document. */
function documentOf(example: string): string {
  if (example.startsWith("services:")) return example;
  const indented = example.replaceAll(/^/gm, "    ");
  return `services:\n  users:\n    instances: [{ address: "10.0.0.5:3001" }]\n${indented}`;
}

test("the examples of the balancing page are valid documents", () => {
  const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = ""]) => documentOf(yaml));
  assert.ok(examples.length >= 3);
  for (const yaml of examples) {
    const { problems, value } = loadFile("example.yaml", { env: {}, readFile: () => yaml });
    assert.deepEqual(problems, []);
    assert.ok(value);
  }
});
