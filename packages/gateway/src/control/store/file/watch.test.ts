import assert from "node:assert/strict";
import { mkdir, mkdtemp, open, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { watchFiles } from "./watch.ts";
import type { FileWatcher, WatchedFiles } from "./watch.ts";

/** Timers that run when told, and files in memory: what the watcher decides, without a clock or a disk. */
function bench(contents: Record<string, string | undefined>) {
  const pending = new Set<{ delayMs: number; action: () => void }>();
  const polls: (() => void)[] = [];
  const events = new Map<string, (name: string | null) => void>();
  const changes: (readonly string[])[] = [];
  let reads = 0;
  const files: WatchedFiles = {
    read(path) {
      reads++;
      const text = contents[path];
      return Promise.resolve(text === undefined ? undefined : Buffer.from(text));
    },
    signature: (path) => Promise.resolve(contents[path]),
    target: (path) => Promise.resolve(path),
    watchDirectory(path, onEvent) {
      events.set(path, onEvent);
      return () => events.delete(path);
    },
  };
  const timers = {
    after(delayMs: number, action: () => void) {
      const timer = { delayMs, action };
      pending.add(timer);
      return () => pending.delete(timer);
    },
    every(_: number, action: () => void) {
      polls.push(action);
      return () => polls.splice(0);
    },
  };
  const watcher = watchFiles(["/d/a.yaml"], { onChange: (changed) => changes.push(changed), timers, files });
  return {
    watcher,
    changes,
    events,
    reads: () => reads,
    waits: () => [...pending].map(({ delayMs }) => delayMs),
    event: (name: string | null) => events.get("/d")?.(name),
    async poll() {
      for (const action of polls) action();
      await watcher.ready();
    },
    /** Ends the waits that are pending now. */
    async elapse() {
      const due = [...pending];
      pending.clear();
      for (const { action } of due) action();
      await watcher.ready();
    },
  };
}

test("events close together are one look, and contents decide whether there was a change", async () => {
  const contents = { "/d/a.yaml": "one" };
  const { watcher, changes, event, elapse, waits } = bench(contents);
  await watcher.ready();
  event("a.yaml");
  event("a.yaml");
  assert.deepEqual(waits(), [50]);
  await elapse();
  assert.deepEqual(changes, []);
  contents["/d/a.yaml"] = "two";
  event(null);
  await elapse();
  assert.deepEqual(changes, [["/d/a.yaml"]]);
  watcher.close();
});

test("a file that is truncated and then written is told once, with its new contents", async () => {
  const contents: Record<string, string> = { "/d/a.yaml": "one" };
  const { watcher, changes, event, elapse, waits } = bench(contents);
  await watcher.ready();
  contents["/d/a.yaml"] = "";
  event("a.yaml");
  await elapse();
  assert.deepEqual([changes, waits()], [[], [500]]);
  contents["/d/a.yaml"] = "two";
  event("a.yaml");
  await elapse();
  assert.deepEqual([changes, waits()], [[["/d/a.yaml"]], []]);
  watcher.close();
});

test("a file that stays empty or missing is told after a while, however many events come before", async () => {
  for (const gone of ["", undefined]) {
    const contents: Record<string, string | undefined> = { "/d/a.yaml": "one" };
    const { watcher, changes, event, elapse, poll } = bench(contents);
    await watcher.ready();
    contents["/d/a.yaml"] = gone;
    event("a.yaml");
    await elapse();
    await poll();
    assert.deepEqual(changes, []);
    await elapse();
    assert.deepEqual(changes, [["/d/a.yaml"]]);
    contents["/d/a.yaml"] = "one";
    event("a.yaml");
    await elapse();
    assert.equal(changes.length, 2);
    watcher.close();
  }
});

test("without events the poll finds the change", async () => {
  const contents = { "/d/a.yaml": "one" };
  const { watcher, changes, poll, elapse, waits } = bench(contents);
  await watcher.ready();
  await poll();
  assert.deepEqual(waits(), []);
  contents["/d/a.yaml"] = "two";
  await poll();
  await elapse();
  assert.deepEqual(changes, [["/d/a.yaml"]]);
  watcher.close();
});

test("a log written in the same directory does not make the watched files read", async () => {
  const { watcher, event, elapse, reads } = bench({ "/d/a.yaml": "one" });
  await watcher.ready();
  const before = reads();
  for (let i = 0; i < 5; i++) {
    event("access.log");
    await elapse();
  }
  assert.equal(reads(), before);
  watcher.close();
});

test("a file whose events never end is looked at all the same", async () => {
  const { watcher, event, waits, elapse, reads } = bench({ "/d/a.yaml": "one" });
  await watcher.ready();
  const before = reads();
  for (let i = 0; i < 1000; i++) event("a.yaml");
  assert.deepEqual(waits(), [50]);
  await elapse();
  assert.ok(reads() > before);
  watcher.close();
});

test("new paths are watched and old ones no longer", async () => {
  const contents: Record<string, string> = { "/d/a.yaml": "one", "/e/b": "one" };
  const { watcher, changes, events, poll, elapse } = bench(contents);
  await watcher.ready();
  watcher.setPaths(["/e/b"]);
  await watcher.ready();
  assert.deepEqual([...events.keys()], ["/e"]);
  Object.assign(contents, { "/d/a.yaml": "two", "/e/b": "two" });
  await poll();
  await elapse();
  assert.deepEqual(changes, [["/e/b"]]);
  watcher.close();
});

test("a closed watcher holds no timer and tells nothing", async () => {
  const contents: Record<string, string> = { "/d/a.yaml": "one" };
  const { watcher, changes, events, event, elapse, waits } = bench(contents);
  await watcher.ready();
  contents["/d/a.yaml"] = "";
  event("a.yaml");
  await elapse();
  watcher.close();
  assert.deepEqual([waits(), events.size], [[], 0]);
  assert.deepEqual(changes, []);
});

/** A directory on disk and a watcher over one file in it; `next` resolves at the next change. */
async function onDisk(t: TestContext, prepare: (directory: string) => Promise<string>) {
  const directory = await mkdtemp(join(tmpdir(), "headgate-watch-"));
  const path = await prepare(directory);
  const waiting: (() => void)[] = [];
  const watcher: FileWatcher = watchFiles([path], {
    onChange() {
      for (const resume of waiting.splice(0)) resume();
    },
  });
  t.after(async () => {
    watcher.close();
    await rm(directory, { recursive: true, force: true });
  });
  await watcher.ready();
  const next = () => new Promise<void>((resume) => waiting.push(resume));
  return { directory, path, next };
}

async function plainFile(directory: string): Promise<string> {
  await writeFile(join(directory, "a.yaml"), "one");
  return join(directory, "a.yaml");
}

test("a file replaced by rename, as editors do, is told each time", async (t) => {
  const { directory, path, next } = await onDisk(t, plainFile);
  for (const text of ["two", "three"]) {
    const change = next();
    await writeFile(join(directory, ".a.tmp"), text);
    await rename(join(directory, ".a.tmp"), path);
    await change;
  }
});

test("a file truncated and written in two pieces is told", async (t) => {
  const { path, next } = await onDisk(t, plainFile);
  const change = next();
  const file = await open(path, "w");
  await file.write("tw");
  await file.write("o");
  await file.close();
  await change;
});

test("a file deleted and created again is told", async (t) => {
  const { path, next } = await onDisk(t, plainFile);
  const change = next();
  await rm(path);
  await writeFile(path, "two");
  await change;
});

test("a directory link swapped as Kubernetes does is told each time", async (t) => {
  const { directory, next } = await onDisk(t, async (root) => {
    await mkdir(join(root, "..1"));
    await writeFile(join(root, "..1", "a.yaml"), "1");
    await symlink("..1", join(root, "..data"));
    await symlink(join("..data", "a.yaml"), join(root, "a.yaml"));
    return join(root, "a.yaml");
  });
  for (const version of ["2", "3"]) {
    const change = next();
    await mkdir(join(directory, `..${version}`));
    await writeFile(join(directory, `..${version}`, "a.yaml"), version);
    await symlink(`..${version}`, join(directory, "..data_tmp"));
    await rename(join(directory, "..data_tmp"), join(directory, "..data"));
    await change;
  }
});
