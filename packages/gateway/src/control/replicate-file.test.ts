import assert from "node:assert/strict";
import { test } from "node:test";
import { validateDocument } from "@headgate/schema";
import type { Log } from "../core/log.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { Publisher, type Member } from "./publish.ts";
import { describeProblem, FileReplicator, type ReadDocument } from "./replicate-file.ts";
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
  const lines: string[] = [];
  const line = (level: string) => (_fields: object, message: string) => void lines.push(`${level} ${message}`);
  const log: Log = { debug: () => {}, info: line("info"), warn: line("warn"), error: line("error") };
  const clock = { now: () => 0, wall: () => 0 };
  const publisher = new Publisher();
  const member = { workerId: 1, refuses: false };
  const asMember: Member = {
    workerId: 1,
    post: () => {},
    end: () => {},
    ask: (message) => {
      if (message.type === "commit") return Promise.resolve({ type: "committed", id: message.id, revision: 0 });
      if (message.type !== "prepare") return Promise.resolve(undefined);
      const refused = { type: "rejected", id: message.id, message: "the algorithm is unknown" } as const;
      return Promise.resolve(member.refuses ? refused : { type: "prepared", id: message.id });
    },
  };
  await publisher.join(asMember);
  const report = new Report(clock, new Metrics(() => {}));
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
  const replicator = new FileReplicator({ settings, read, publisher, report, clock, log, watch });
  await replicator.reload();
  return { replicator, report, publisher, file, lines, member };
}

test("a change of the file goes live as the next revision", async () => {
  const { replicator, report, publisher, file } = await replicating(document("a"));
  assert.equal(report.revision, 1);
  file.now = document("a", "b");
  await replicator.reload();
  assert.equal(report.revision, 2);
  assert.deepEqual(Object.keys(publisher.live?.resources.routes ?? {}), ["a", "b"]);
});

test("a file with a mistake changes nothing, and each mistake is logged once with its place", async () => {
  const { replicator, report, publisher, file, lines } = await replicating(document("a"));
  file.now = fromObject({ routes: { b: { respond: {}, tu: "x" } } });
  await replicator.reload();
  await replicator.reload();
  assert.equal(report.revision, 1);
  assert.deepEqual(Object.keys(publisher.live?.resources.routes ?? {}), ["a"]);
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

test("what a worker cannot build is a problem, and the revision before stays live", async () => {
  const { replicator, report, file, member } = await replicating(document("a"));
  member.refuses = true;
  file.now = document("b");
  await replicator.reload();
  assert.equal(report.revision, 1);
  assert.deepEqual(report.problems, [{ severity: "error", path: "", message: "the algorithm is unknown" }]);
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

for (const [problem, text] of [
  [{ file: "f.yaml", line: 2, column: 3, path: "routes.a", hint: "try b" }, "f.yaml:2:3: routes.a: wrong (try b)"],
  [{ file: "f.yaml", path: "" }, "f.yaml: wrong"],
  [{ path: "global" }, "global: wrong"],
] as const) {
  test(`a problem reads "${text}"`, () => {
    assert.equal(describeProblem({ severity: "error", message: "wrong", ...problem }), text);
  });
}
