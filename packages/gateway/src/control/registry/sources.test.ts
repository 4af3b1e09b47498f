import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { fakeTimers, pass } from "../../../../../tests/kit/fake-timers.ts";
import { Bell } from "../../../../../tests/kit/wait.ts";
import { silentLog } from "../../core/log.ts";
import { LastKnown } from "./last-known.ts";
import { turns } from "./source.fixtures.ts";
import type { FoundInstance, Source, SourceSettings } from "./source.ts";
import { Sources } from "./sources.ts";

const dns = (name: string): SourceSettings => ({ dns: { name, port: 80 } });
const found = (address: string): FoundInstance => ({ address, status: "UP", weight: 1 });

/** Sources that the test scripts: `says` is what each place says, an error or nothing. */
function open(t: TestContext, directory = mkdtempSync(join(tmpdir(), "headgate-test-"))) {
  const clock = new FakeClock();
  const timers = fakeTimers(clock);
  const says = new Map<string, readonly FoundInstance[] | Error>();
  const bell = new Bell();
  const followed: string[] = [];
  const changes: string[][] = [];
  const openSource = (settings: SourceSettings): Source => {
    const place = "dns" in settings ? settings.dns.name : "";
    return {
      kind: "dns",
      place,
      async *follow(signal) {
        followed.push(`+${place}`);
        signal.addEventListener("abort", () => void followed.push(`-${place}`));
        while (!signal.aborted) {
          const said = says.get(place);
          if (said instanceof Error) throw said;
          if (said !== undefined) yield { instances: said };
          await Promise.race([bell.next(), new Promise((end) => signal.addEventListener("abort", end))]);
        }
      },
    };
  };
  const file = join(directory, "last-instances.db");
  const sources = new Sources({
    open: openSource,
    lastKnown: new LastKnown({ file, clock, timers, log: silentLog }),
    onChange: (keys) => void changes.push([...keys]),
    onState: () => undefined,
    ...{ clock, timers, random: seededRandom(1), log: silentLog },
  });
  t.after(() => {
    sources.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const say = async (place: string, what: readonly FoundInstance[] | Error): Promise<void> => {
    says.set(place, what);
    bell.ring();
    await turns();
  };
  return { sources, clock, says, say, followed, changes, directory, file };
}

test("services with the same settings share one source, which ends with the last of them", async (t) => {
  const { sources, say, followed, changes } = open(t);
  sources.use("users", [dns("a")]);
  sources.use("staff", [{ dns: { name: "a", port: 80 } }]);
  await say("a", [found("10.0.0.1:80")]);
  assert.deepEqual(followed, ["+a"]);
  assert.deepEqual(changes, [[JSON.stringify(dns("a"))]]);
  assert.deepEqual(sources.find(dns("a")), [found("10.0.0.1:80")]);
  assert.deepEqual(sources.status(), [
    { kind: "dns", place: "a", services: ["staff", "users"], state: "live", instances: 1 },
  ]);
  sources.use("users", []);
  assert.deepEqual(followed, ["+a"]);
  sources.use("staff", []);
  assert.deepEqual(followed, ["+a", "-a"]);
  assert.deepEqual([sources.find(dns("a")), sources.status()], [undefined, []]);
});

test("a service that changes its source keeps the old one as long as it says so", async (t) => {
  const { sources, followed, say } = open(t);
  sources.use("users", [dns("a")]);
  sources.use("users", [dns("b"), dns("a")]);
  await say("a", [found("10.0.0.1:80")]);
  assert.deepEqual(followed, ["+a", "+b"]);
  sources.use("users", [dns("b")]);
  assert.deepEqual(followed, ["+a", "+b", "-a"]);
});

test("other credentials are no other source: what was known stays known", async (t) => {
  const consul = (token: string): SourceSettings => ({
    consul: { service: "users", url: "http://c", tags: [], passing: true, token },
  });
  const { sources, say } = open(t);
  sources.use("users", [consul("one")]);
  await say("", [found("10.0.0.1:80")]);
  sources.use("users", [consul("two")]);
  assert.deepEqual(sources.find(consul("two")), [found("10.0.0.1:80")]);
});

test("ready waits until each source has answered or failed, two seconds at most", async (t) => {
  const { sources, say, clock } = open(t);
  await sources.ready();
  for (const name of ["a", "b", "c"]) sources.use(name, [dns(name)]);
  let ready = false;
  const waiting = sources.ready().then(() => (ready = true));
  await say("a", [found("10.0.0.1:80")]);
  await say("b", new Error("away"));
  await pass(clock, 1_900, 100);
  assert.equal(ready, false);
  await pass(clock, 200, 100);
  assert.equal(ready, true);
  await waiting;
  assert.deepEqual(
    sources.status().map(({ place, state, problem }) => [place, state, problem]),
    [
      ["a", "live", undefined],
      ["b", "failing", "away"],
      ["c", "waiting", undefined],
    ],
  );
  await say("c", [found("10.0.0.3:80")]);
  await sources.ready();
});

test("the next process knows what was said last, until it is told otherwise", async (t) => {
  const first = open(t);
  first.sources.use("users", [dns("a")]);
  first.sources.use("staff", [dns("b")]);
  await first.say("a", [found("10.0.0.1:80"), found("10.0.0.2:80")]);
  await first.say("b", [found("10.0.0.3:80")]);
  first.sources.close();
  assert.equal(statSync(first.file).mode & 0o777, 0o600);

  const second = open(t, first.directory);
  second.sources.use("users", [dns("a")]);
  assert.deepEqual(second.sources.find(dns("a")), [found("10.0.0.1:80"), found("10.0.0.2:80")]);
  assert.deepEqual(second.sources.find(dns("b")), [found("10.0.0.3:80")]);
  await second.say("a", new Error("away"));
  await second.sources.ready();
  assert.deepEqual(second.sources.find(dns("a")), [found("10.0.0.1:80"), found("10.0.0.2:80")]);
  // Nobody uses it any more.
  assert.equal(second.sources.find(dns("b")), undefined);
  second.sources.close();
});

test("a gateway without a source makes no file", (t) => {
  const { sources, file } = open(t);
  sources.use("users", []);
  sources.close();
  assert.equal(statSync(file, { throwIfNoEntry: false }), undefined);
});
