import assert from "node:assert/strict";
import { test } from "node:test";
import { validateDocument, type Resources } from "@headgate/schema";
import { Metrics } from "../telemetry/metrics.ts";
import { sameValue } from "./compile.ts";
import type { FileResult } from "./converge.ts";
import { linesLog } from "./member.fixtures.ts";
import { FileReplicator, type ReadDocument } from "./replicate-file.ts";
import { Report } from "./report.ts";

function document(...routes: string[]): ReadDocument {
  return fromObject({ routes: Object.fromEntries(routes.map((name) => [name, { respond: {} }])) });
}

function fromObject(input: object): ReadDocument {
  const { value, problems } = validateDocument(input);
  return {
    ...(value === undefined ? {} : { value }),
    problems: problems.map(({ path, message, severity }) => ({
      path: path.join("."),
      message,
      severity,
      file: "f",
      line: 1,
    })),
    paths: ["f"],
  };
}

async function replicating(first: ReadDocument) {
  const { lines, log } = linesLog();
  const clock = { now: () => 7, wall: () => 0 };
  const report = new Report(clock, new Metrics(() => {}), log);
  const live = { resources: undefined as Resources | undefined, seenMs: 0, refusal: "" };
  const publish = (resources: Resources, seenMs: number): Promise<FileResult> => {
    if (live.refusal !== "") return Promise.resolve({ refused: live.refusal });
    const known = live.resources !== undefined && sameValue(live.resources, resources);
    live.resources = resources;
    live.seenMs = seenMs;
    if (!known) report.live(report.revision + 1, seenMs);
    return Promise.resolve(known ? "unchanged" : "live");
  };
  const file = { now: first, reads: 0 };
  const read = (): Promise<ReadDocument> => {
    file.reads++;
    return Promise.resolve(file.now);
  };
  const watched = new Set<string>();
  const watch = (paths: readonly string[]): Promise<boolean> => {
    const before = watched.size;
    for (const path of paths) watched.add(path);
    return Promise.resolve(watched.size > before);
  };
  const settings = first.value?.gateway;
  assert.ok(settings);
  const replicator = new FileReplicator({ settings, read, publish, report, clock, log, watch });
  await replicator.reload();
  return { replicator, report, live, file, lines };
}

test("a change of the file goes live as the next revision", async () => {
  const { replicator, report, live, file } = await replicating(document("a"));
  assert.equal(report.revision, 1);
  assert.equal(live.seenMs, 7);
  file.now = document("a", "b");
  await replicator.reload();
  assert.equal(report.revision, 2);
  assert.deepEqual(Object.keys(live.resources?.routes ?? {}), ["a", "b"]);
});

test("a file with a mistake changes nothing, and each mistake is logged once with its place", async () => {
  const { replicator, report, live, file, lines } = await replicating(document("a"));
  file.now = fromObject({ routes: { b: { respond: {}, tu: "x" } } });
  await replicator.reload();
  await replicator.reload();
  assert.equal(report.revision, 1);
  assert.deepEqual(Object.keys(live.resources?.routes ?? {}), ["a"]);
  assert.equal(report.problems.length, 1);
  assert.equal(
    lines.filter((line) => line.startsWith("error rejected: f:1: routes.b.tu: ")).length,
    1,
    lines.join("\n"),
  );
  file.now = document("a");
  await replicator.reload();
  assert.deepEqual(report.problems, []);
});

test("what the workers refuse is a problem, and the revision before stays live", async () => {
  const { replicator, report, file, live, lines } = await replicating(document("a"));
  live.refusal = "the algorithm is unknown";
  file.now = document("b");
  await replicator.reload();
  assert.equal(report.revision, 1);
  assert.deepEqual(report.problems, [{ severity: "error", path: "", message: "the algorithm is unknown" }]);
  await replicator.reload();
  assert.equal(lines.filter((line) => line === "error revision 1 stays live").length, 1, lines.join("\n"));
  live.refusal = "";
  await replicator.reload();
  assert.deepEqual(report.problems, []);
});

test("a change of what is read once at start says that a restart is needed, and the rest goes live", async () => {
  const { replicator, report, file, lines } = await replicating(document("a"));
  file.now = fromObject({ gateway: { listen: [{ address: ":9999" }] }, routes: { b: { respond: {} } } });
  await replicator.reload();
  assert.equal(report.revision, 2);
  assert.deepEqual(
    report.problems.map(({ severity, message }) => [severity, message]),
    [["warning", "restart needed: gateway.listen changed"]],
  );
  assert.ok(lines.some((line) => line.includes("restart needed: gateway.listen changed")));
});

test("calls while the file is read lead to one more reading", async () => {
  const { replicator, file } = await replicating(document("a"));
  const before = file.reads;
  await Promise.all([replicator.reload(), replicator.reload(), replicator.reload()]);
  assert.equal(file.reads - before, 2);
});

test("a file that was not watched while it was read is read once more", async () => {
  const { replicator, file } = await replicating(document("a"));
  const before = file.reads;
  file.now = { ...document("a", "b"), paths: ["f", "secret"] };
  await replicator.reload();
  assert.equal(file.reads - before, 2);
  await replicator.reload();
  assert.equal(file.reads - before, 3);
});
