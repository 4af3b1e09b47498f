import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runAgainst } from "./cli.fixtures.ts";

const commands = [
  "start",
  "check",
  "explain",
  "apply",
  "diff",
  "export",
  "get",
  "put",
  "delete",
  "watch",
  "history",
  "rollback",
  "confirm",
  "status",
  "instances",
  "circuit",
  "queue",
  "register",
  "top",
];
const page = readFileSync(new URL("../../../../docs/cli.md", import.meta.url), "utf8");

test("help names every command, and the page on the command line describes it", async (t) => {
  const { code, out } = await runAgainst(t, "", ["--help"]);
  assert.equal(code, 0);
  const named = Array.from(out.matchAll(/^ {2}([a-z]+) (?=[[<])/gm), ([, name = ""]) => name);
  assert.deepEqual(
    named.filter((name) => name !== "help"),
    commands,
  );
  const described = Array.from(
    page.matchAll(/^## (`.*)$/gm),
    ([, heading = ""]) => heading.match(/[a-z]+(?=`)/g) ?? [],
  );
  assert.deepEqual(described.flat().toSorted(), commands.toSorted());
});

for (const name of commands) {
  test(`headgate ${name} --help has an example, and its flags are on the page`, async (t) => {
    const { code, out, err } = await runAgainst(t, "", [name, "--help"]);
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, new RegExp(`^ {2}\\$ headgate ${name}\\b`, "m"));
    const flags = Array.from(out.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm), ([, flag = ""]) => flag);
    const missing = flags.filter(
      (flag) => !["--help", "--output", "--file", "--header", "--client"].includes(flag) && !page.includes(flag),
    );
    assert.deepEqual(missing, []);
  });
}

test("a command that does not exist is called wrongly", async (t) => {
  const unknown = await runAgainst(t, "", ["aply"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /Did you mean apply/);
});
