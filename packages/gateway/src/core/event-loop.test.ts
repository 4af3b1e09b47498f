import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { systemEventLoop } from "./event-loop.ts";

test("an echo comes back when the event loop turns, not at once, and once for each that was sent", async (t) => {
  let count = 0;
  await new Promise<void>((resolve) => {
    const echo = systemEventLoop().echo(() => {
      if (++count < 3) echo.send();
      else resolve();
    });
    t.after(() => echo.close());
    echo.send();
    assert.equal(count, 0);
  });
  assert.equal(count, 3);
});

test("a share is one of time: between nothing and all", () => {
  const loop = systemEventLoop();
  for (let i = 0; i < 3; i++) {
    const share = loop.utilization();
    assert.ok(share >= 0 && share <= 1, String(share));
  }
});

test("waiting for echoes does not keep a process alive", async () => {
  const module = new URL("./event-loop.ts", import.meta.url).href;
  const code = `const { systemEventLoop } = await import("${module}"); systemEventLoop().echo(() => {});`;
  await promisify(execFile)(process.execPath, ["--input-type=module", "-e", code]);
});
