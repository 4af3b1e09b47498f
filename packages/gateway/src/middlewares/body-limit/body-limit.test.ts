import assert from "node:assert/strict";
import { test } from "node:test";
import { runMiddleware } from "../../testing.ts";
import bodyLimit from "./index.ts";

test("takes a size alone or as max; the default is 1 MiB", async () => {
  const table: [unknown, number][] = [
    ["64KiB", 65_536],
    [100, 100],
    [{ max: "1KB" }, 1000],
    [{ max: 0 }, 0],
    [{}, 1_048_576],
  ];
  for (const [settings, bytes] of table) {
    const { exchange } = await runMiddleware(bodyLimit, settings);
    assert.equal(exchange.request.bodyBytesMax, bytes, JSON.stringify(settings));
  }
});

test("a declared length over the limit is refused before the service is asked", async () => {
  const over = await runMiddleware(bodyLimit, 4, { method: "POST", body: "12345" });
  assert.equal(over.response.status, 413);
  assert.equal(over.error?.code, "HG_BODY_TOO_LARGE");
  assert.equal(over.nextCalls, 0);
  const exact = await runMiddleware(bodyLimit, 5, { method: "POST", body: "12345" });
  assert.equal(exact.response.status, 200);
});

test("a chunked body is counted while it streams", async () => {
  const { error } = await runMiddleware(bodyLimit, 4, { method: "POST", body: "12345", framing: "chunked" });
  assert.equal(error?.code, "HG_BODY_TOO_LARGE");
});

test("refuses what is no size", () => {
  for (const settings of ["1 elephant", -1, 1.5, { max: "x" }, { maximum: 1 }, []]) {
    assert.equal(bodyLimit.config.safeParse(settings).success, false, JSON.stringify(settings));
  }
});
