import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "../telemetry/metrics.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { Report, type ReportedProblem } from "./report.ts";

function reporting() {
  const time = { now: 1_000, wall: 50_000 };
  const page = new MetricsPage();
  const source = page.attach("control");
  const report = new Report({ now: () => time.now, wall: () => time.wall }, new Metrics((news) => source.accept(news)));
  const rendered = async (): Promise<string> => {
    await Promise.resolve();
    let text = "";
    for await (const piece of page.render(() => Promise.resolve())) text += piece;
    return text;
  };
  return { report, time, rendered };
}

function problem(path: string, severity: "error" | "warning" = "error"): ReportedProblem {
  return { severity, path, message: "is wrong" };
}

test("the time to apply a change has its series before there was a change", async () => {
  const { rendered } = reporting();
  assert.match(await rendered(), /^headgate_config_apply_seconds_count 0$/m);
});

test("what is live is reported with its revision, its age and how long it took to apply", async () => {
  const { report, time, rendered } = reporting();
  assert.equal(report.ageSeconds, 0);
  time.now = 3_000;
  report.live(3, 0);
  report.live(4, 2_000);
  time.now = 8_000;
  assert.equal(report.revision, 4);
  assert.equal(report.ageSeconds, 5);
  assert.equal(report.uptimeSeconds, 7);
  const text = await rendered();
  assert.match(text, /^headgate_config_revision 4$/m);
  assert.match(text, /^headgate_config_apply_seconds_sum 1$/m);
  assert.match(text, /^headgate_config_source\{source="live"\} 1$/m);
});

test("problems are counted by the resource they are in, warnings are not, and repaired ones go to 0", async () => {
  const { report, rendered } = reporting();
  report.judge([
    problem("routes.users.match.path"),
    problem("routes.users.to"),
    problem("gateway.listen"),
    problem(""),
    problem("services.a", "warning"),
  ]);
  const before = await rendered();
  assert.match(before, /^headgate_config_rejected\{kind="routes",name="users"\} 2$/m);
  assert.match(before, /^headgate_config_rejected\{kind="gateway",name=""\} 1$/m);
  assert.match(before, /^headgate_config_rejected\{kind="document",name=""\} 1$/m);
  assert.doesNotMatch(before, /kind="services"/);
  report.judge([problem("gateway.listen")]);
  const after = await rendered();
  assert.match(after, /^headgate_config_rejected\{kind="routes",name="users"\} 0$/m);
  assert.match(after, /^headgate_config_rejected\{kind="gateway",name=""\} 1$/m);
});
