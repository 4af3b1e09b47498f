import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { openTerminalLog } from "./log.ts";

test("on a terminal a line is time, level and sentence, with the text of an error and nothing that acts", () => {
  const lines: string[] = [];
  const log = openTerminalLog((line) => lines.push(line), { now: () => 0, wall: () => 3_723_000 }, false);
  log.info({ port: 1 }, "listens");
  log.error({ err: new Error("no\u001b[2Jway") }, "failed\nhard");
  log.debug({}, "left out");
  assert.deepEqual(lines, ["01:02:03 info listens\n", "01:02:03 error failed hard (no [2Jway)\n"]);
});

test("the JSON log writes one object a line to stderr, with level, time and fields", () => {
  const module = JSON.stringify(new URL("./log.ts", import.meta.url).href);
  const code = `import { openJsonLog } from ${module};
    const log = openJsonLog(); log.warn({ route: "a" }, "slow"); log.debug({}, "left out");
    setImmediate(() => log.flush());`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
  const lines = run.stderr.trim().split("\n");
  assert.equal(lines.length, 1, run.stderr);
  const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>; // asserted below
  assert.deepEqual([line["level"], line["route"], line["msg"]], ["warn", "a", "slow"]);
  assert.match(String(line["time"]), /^\d{4}-\d\d-\d\dT/);
});
