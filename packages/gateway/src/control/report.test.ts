import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "../telemetry/metrics.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { linesLog } from "./member.fixtures.ts";
import { describeProblem, Report, type ReportedProblem } from "./report.ts";

function reporting() {
  const time = { now: 1_000, wall: 50_000 };
  const page = new MetricsPage();
  const source = page.attach("control");
  const { lines, log } = linesLog();
  const clock = { now: () => time.now, wall: () => time.wall };
  const report = new Report(clock, new Metrics((news) => source.accept(news)), log);
  const rendered = async (): Promise<string> => {
    await Promise.resolve();
    let text = "";
    for await (const piece of page.render(() => Promise.resolve())) text += piece;
    return text;
  };
  return { report, time, rendered, lines };
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
  report.judge("file", [
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
  report.judge("file", [problem("gateway.listen")]);
  const after = await rendered();
  assert.match(after, /^headgate_config_rejected\{kind="routes",name="users"\} 0$/m);
  assert.match(after, /^headgate_config_rejected\{kind="gateway",name=""\} 1$/m);
});

test("a revision in which nothing that runs changed counts, and its configuration keeps its age", async () => {
  const { report, time, rendered } = reporting();
  report.live(3, 0);
  time.now += 5_000;
  report.advance(9);
  assert.deepEqual([report.revision, report.ageSeconds], [9, 5]);
  assert.match(await rendered(), /^headgate_config_revision 9$/m);
});

test("what runs from the disk says so, and its age is that of when it was saved, until the store's own is live", async () => {
  const { report, time, rendered } = reporting();
  assert.equal(report.source, "live");
  report.savedAt(20_000);
  report.live(3, 0);
  assert.deepEqual([report.source, report.ageSeconds], ["cache", 30]);
  assert.match(await rendered(), /^headgate_config_source\{source="cache"\} 1$/m);
  report.savedAt(undefined);
  time.now += 2_000;
  assert.deepEqual([report.source, report.ageSeconds], ["live", 2]);
  const text = await rendered();
  assert.match(text, /^headgate_config_source\{source="cache"\} 0$/m);
  assert.match(text, /^headgate_config_source\{source="live"\} 1$/m);
});

test("the file and the store replace their own problems only, and a resource that both name is counted twice", async () => {
  const { report, rendered } = reporting();
  report.judge("file", [problem("routes.a"), problem("routes.b")]);
  report.judge("store", [problem("routes.a"), problem("services.c", "warning")]);
  assert.deepEqual(
    report.problems.map(({ path }) => path),
    ["routes.a", "routes.b", "routes.a", "services.c"],
  );
  assert.match(await rendered(), /^headgate_config_rejected\{kind="routes",name="a"\} 2$/m);
  report.judge("file", []);
  assert.match(await rendered(), /^headgate_config_rejected\{kind="routes",name="a"\} 1$/m);
  assert.match(await rendered(), /^headgate_config_rejected\{kind="routes",name="b"\} 0$/m);
});

test("a problem is logged when it is new, and again after it was gone", () => {
  const { report, lines } = reporting();
  const [one, two] = [problem("routes.a"), problem("routes.b", "warning")];
  report.judge("store", [one]);
  report.judge("store", [one, two]);
  report.judge("store", [two]);
  report.judge("store", [one]);
  assert.deepEqual(lines, [
    "error rejected: routes.a: is wrong",
    "warn routes.b: is wrong",
    "error rejected: routes.a: is wrong",
  ]);
});

test("of very many new problems the first are logged, and how many more there are", () => {
  const { report, lines } = reporting();
  report.judge(
    "store",
    Array.from({ length: 25 }, (_, i) => problem(`routes.r${i}`)),
  );
  assert.equal(lines.length, 21);
  assert.equal(lines.at(-1), "error more problems: see headgate status");
  assert.equal(report.problems.length, 25);
});

for (const [found, text] of [
  [{ file: "f.yaml", line: 2, column: 3, path: "routes.a", hint: "try b" }, "f.yaml:2:3: routes.a: wrong (try b)"],
  [{ file: "f.yaml", path: "" }, "f.yaml: wrong"],
  [{ key: "/headgate/routes/a", revision: 7, path: "routes.a" }, "/headgate/routes/a: routes.a: wrong"],
  [{ path: "global" }, "global: wrong"],
] as const) {
  test(`a problem reads "${text}"`, () => {
    assert.equal(describeProblem({ severity: "error", message: "wrong", ...found }), text);
  });
}
