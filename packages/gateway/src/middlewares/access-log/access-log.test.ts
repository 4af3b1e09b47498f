import assert from "node:assert/strict";
import { test } from "node:test";
import { GatewayError } from "../../core/errors.ts";
import { markSecret } from "../../core/secrets.ts";
import { createTestChain, FakeClock, runMiddleware, type TestOptions, type TestRequest } from "../../testing.ts";
import accessLog from "./index.ts";

const request: TestRequest = {
  method: "POST",
  url: "http://shop.example.com/a%20b?q=1&access_token=hush",
  headers: {
    "user-agent": "curl/8",
    referer: "https://x.example/?token=hush&a=1",
    authorization: "Bearer hush",
    cookie: "session=hush",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-team": "blue",
  },
  body: "12345",
};

function slowService(clock: FakeClock): TestOptions {
  return {
    clock,
    upstream: ({ consumers }) => {
      clock.advance(12.3456);
      assert.ok(consumers);
      return { status: 201, headers: { "x-cache": "hit" }, body: "created" };
    },
  };
}

async function lineOf(settings: unknown, sent: TestRequest = request, options: TestOptions = {}): Promise<string> {
  const { logLines } = await runMiddleware(accessLog, settings, sent, options);
  assert.equal(logLines.length, 1);
  return logLines[0] ?? "";
}

test("json: one object with what happened", async () => {
  const line = await lineOf({}, request, slowService(new FakeClock()));
  assert.deepEqual(JSON.parse(line), {
    time: "2026-01-01T00:00:00.000Z",
    requestId: "generated-id",
    client: "192.0.2.1",
    method: "POST",
    host: "shop.example.com",
    path: "/a%20b",
    query: "q=1&access_token=[redacted]",
    status: 201,
    durationMs: 12.346,
    overheadMs: 0,
    upstreamMs: 12.346,
    requestBytes: 5,
    responseBytes: 7,
    route: "test-route",
    service: "test-service",
    instance: "127.0.0.1:3000",
    attempts: 1,
    userAgent: "curl/8",
    referer: "https://x.example/?token=[redacted]&a=1",
    traceId: "0af7651916cd43dd8448eb211c80319c",
  });
});

test("combined: as Apache and nginx write it", async () => {
  assert.equal(
    await lineOf({ format: "combined" }),
    '192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "POST /a%20b?q=1&access_token=[redacted] HTTP/1.1" 200 2 ' +
      '"https://x.example/?token=[redacted]&a=1" "curl/8"',
  );
});

test("ecs: flat keys of the Elastic Common Schema", async () => {
  const fields: unknown = JSON.parse(
    await lineOf({ format: "ecs", fields: ["+header.x-team"] }, request, slowService(new FakeClock())),
  );
  assert.deepEqual(fields, {
    "@timestamp": "2026-01-01T00:00:00.000Z",
    "ecs.version": "8.11.0",
    "event.kind": "event",
    "event.category": ["web"],
    "event.outcome": "success",
    "event.duration": 12_345_600,
    "http.request.method": "POST",
    "http.request.id": "generated-id",
    "http.request.body.bytes": 5,
    "http.request.referrer": "https://x.example/?token=[redacted]&a=1",
    "http.response.status_code": 201,
    "http.response.body.bytes": 7,
    "url.scheme": "http",
    "url.domain": "shop.example.com",
    "url.path": "/a%20b",
    "url.query": "q=1&access_token=[redacted]",
    "client.ip": "192.0.2.1",
    "source.ip": "192.0.2.1",
    "user_agent.original": "curl/8",
    "service.name": "test-service",
    "trace.id": "0af7651916cd43dd8448eb211c80319c",
    "labels.route": "test-route",
    "labels.upstream": "127.0.0.1:3000",
    "labels.header_x_team": "blue",
  });
});

test("fields selects, in the order given", async () => {
  assert.equal(
    await lineOf(
      { fields: ["status", "header.X-Team", "response.x-cache", "header.absent"] },
      request,
      slowService(new FakeClock()),
    ),
    '{"status":201,"header.X-Team":"blue","response.x-cache":"hit"}',
  );
});

test("fields with a plus adds", async () => {
  const fields = JSON.parse(await lineOf({ fields: ["+header.x-team"] })) as Record<string, unknown>; // a line is an object
  assert.equal(fields["header.x-team"], "blue");
  assert.equal(fields["status"], 200);
});

for (const format of ["json", "combined", "ecs"] as const) {
  test(`${format}: secrets do not show`, async () => {
    const fields = format === "combined" ? {} : { fields: ["+header.authorization", "+header.cookie"] };
    const line = await lineOf({ format, ...fields });
    assert.ok(!line.includes("hush"), line);
  });

  test(`${format}: text from the client cannot break out of its place`, async () => {
    const evil = '"}\\ \t\x9b[31m \xff';
    const line = await lineOf({ format }, { url: '/x?a="', headers: { "user-agent": evil, referer: evil } });
    assert.match(line, /^[\x20-\x7e\ufffd]*$/);
    if (format === "combined")
      assert.match(line, / "\\"\}\\\\ \\x09\\x9b\[31m \\xff" "\\"\}\\\\ \\x09\\x9b\[31m \\xff"$/);
    else assert.doesNotThrow(() => JSON.parse(line));
  });
}

test("UTF-8 on the wire is text in the log", async () => {
  const agent = Buffer.from("caf\u00e9 \u2615").toString("latin1");
  const line = await lineOf({ fields: ["userAgent"] }, { headers: { "user-agent": agent } });
  assert.deepEqual(JSON.parse(line), { userAgent: "caf\u00e9 \u2615" });
});

test("what another step announces as secret does not show", async () => {
  const upstream: TestOptions["upstream"] = (exchange) => {
    markSecret(exchange, "x-team");
    markSecret(exchange, "q");
    return { status: 200 };
  };
  const line = await lineOf({ fields: ["query", "header.x-team"] }, request, { upstream });
  assert.equal(line, '{"query":"q=[redacted]&access_token=[redacted]","header.x-team":"[redacted]"}');
});

test("an exchange that failed is logged with its error and consumer", async () => {
  const upstream: TestOptions["upstream"] = (exchange) => {
    exchange.consumer = { name: "alice", groups: [] };
    throw new GatewayError("HG_UPSTREAM_RESET");
  };
  const names = { fields: ["status", "consumer", "error", "upstreamMs"] };
  assert.equal(await lineOf(names, {}, { upstream }), '{"status":502,"consumer":"alice","error":"HG_UPSTREAM_RESET"}');
  assert.match(await lineOf({ format: "combined" }, {}, { upstream }), /^192\.0\.2\.1 - alice \[/);
});

test("the gateway's format is the default, and off is off", async () => {
  assert.match(await lineOf({}, {}, { accessLogFormat: "combined" }), /^192\.0\.2\.1 - /);
  const { logLines } = await runMiddleware(accessLog, { format: "json" }, {}, { accessLogFormat: "off" });
  assert.deepEqual(logLines, []);
});

for (const [name, traceparent, expected] of [
  ["valid", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"],
  [
    "of a later version",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
    "0af7651916cd43dd8448eb211c80319c",
  ],
  ["all zero", "00-00000000000000000000000000000000-b7ad6b7169203331-01", undefined],
  ["in upper case", "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", undefined],
  ["too short", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", undefined],
  ["without dashes", "00a0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", undefined],
] as const) {
  test(`a traceparent ${name} ${expected === undefined ? "gives no trace" : "names the trace"}`, async () => {
    const line = await lineOf({ fields: ["status", "traceId"] }, { headers: { traceparent } });
    assert.deepEqual(JSON.parse(line), expected === undefined ? { status: 200 } : { status: 200, traceId: expected });
  });
}

for (const [name, when, status, ms, draw, logged] of [
  ["status in a class", { status: ["5xx"] }, 503, 0, 0.9, true],
  ["status in a range", { status: ["400-404", 500] }, 404, 0, 0.9, true],
  ["status as a number", { status: [404, 500] }, 500, 0, 0.9, true],
  ["another status", { status: [404, "5xx"] }, 403, 0, 0, false],
  ["slower", { slowerThan: "100ms" }, 200, 101, 0.9, true],
  ["not slower", { slowerThan: "100ms" }, 200, 100, 0, false],
  ["in the sample", { sample: 0.1 }, 200, 0, 0.09, true],
  ["outside the sample", { sample: "10%" }, 200, 0, 0.1, false],
  ["an error outside the sample", { status: ["5xx"], sample: 0.1 }, 500, 0, 0.5, true],
  ["no condition", {}, 200, 0, 0.99, true],
] as const) {
  test(`when: ${name} is ${logged ? "" : "not "}logged`, async () => {
    const clock = new FakeClock();
    const upstream: TestOptions["upstream"] = () => {
      clock.advance(ms);
      return { status };
    };
    const chain = createTestChain([[accessLog, { when }]], { clock, upstream, random: () => draw });
    assert.equal((await chain.run()).logLines.length, logged ? 1 : 0);
  });
}

for (const [settings, message] of [
  [{ format: "xml" }, /access-log\.format/],
  [{ fields: ["nope"] }, /"nope" is no field/],
  [{ fields: ["status", "+host"] }, /either all/],
  [{ fields: [] }, /access-log\.fields/],
  [{ format: "combined", fields: ["status"] }, /fixed fields/],
  [{ format: "ecs", fields: ["status"] }, /fixed fields/],
  [{ when: { status: ["6xx"] } }, /expected a status/],
  [{ when: { sample: 2 } }, /access-log\.when\.sample/],
] as const) {
  test(`refuses ${JSON.stringify(settings)}`, async () => {
    await assert.rejects(runMiddleware(accessLog, settings), message);
  });
}
