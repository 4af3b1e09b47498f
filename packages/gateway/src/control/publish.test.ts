import assert from "node:assert/strict";
import { test } from "node:test";
import type { AheadRoute } from "../proxy/routes-ahead.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { FakeMember, applyTo } from "./member.fixtures.ts";
import { Publisher } from "./publish.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";

/** A change that sets routes, and deletes those with a minus in front. */
function change(revision: number, ...routes: string[]): SnapshotChange {
  const set = routes.filter((name) => !name.startsWith("-"));
  const value = { match: [{ path: "/" }], use: [], priority: 0 };
  const gone = routes.filter((name) => name.startsWith("-")).map((name) => name.slice(1));
  return { revision, routes: { set: Object.fromEntries(set.map((name) => [name, value])), delete: gone } };
}

/** A publisher and what is live as it was told. */
async function publishing(...members: FakeMember[]) {
  const live = { runs: new Map<string, unknown>(), revision: 0 };
  const publisher = new Publisher(() =>
    live.revision === 0 ? undefined : change(live.revision, ...[...live.runs.keys()].map((id) => id.slice(7))),
  );
  for (const member of members) {
    assert.equal(await publisher.join(member), undefined);
  }
  const publish = (one: SnapshotChange) =>
    publisher.publish(one, () => {
      applyTo(live.runs, one);
      live.revision = one.revision;
    });
  return { publisher, publish, live };
}

function members(count: number): FakeMember[] {
  return Array.from({ length: count }, (_, index) => new FakeMember(index + 1));
}

function routes({ runs }: Pick<FakeMember, "runs">): string[] {
  return [...runs.keys()].map((id) => id.slice("routes/".length));
}

/** Says no, whatever it is. */
const no =
  (message: string) =>
  ({ type, ...asked }: ToWorker): FromWorker | undefined =>
    type === "prepare" && "id" in asked ? { type: "rejected", id: asked.id, message, failures: [] } : undefined;

test("all workers prepare, then it is live, then all commit", async () => {
  const all = members(3);
  const order: string[] = [];
  for (const member of all) {
    member.answers = (message) => {
      order.push(message.type);
      return member.willing(message);
    };
  }
  const { publisher } = await publishing(...all);
  const result = await publisher.publish(change(1, "a"), () => order.push("adopted"));
  assert.deepEqual(result, { outcome: "live" });
  assert.deepEqual(order, ["prepare", "prepare", "prepare", "adopted", "commit", "commit", "commit"]);
  for (const member of all) assert.deepEqual([routes(member), member.revision], [["a"], 1]);
});

test("one worker that cannot prepare keeps all on what they have, and the next change goes on from there", async () => {
  const [good, bad] = [new FakeMember(1), new FakeMember(2)];
  const { publish, live } = await publishing(good, bad);
  await publish(change(1, "a"));
  const failures = [{ kind: "routes", name: "b", message: "routes.b: no such algorithm" }] as const;
  bad.refuses = () => ({ message: "no such algorithm", failures });
  const refused = await publish(change(2, "b"));
  assert.equal(refused.outcome, "refused");
  assert.deepEqual([refused.message, refused.failures], ["no such algorithm", failures]);
  assert.equal(good.seen.at(-1)?.type, "abandon");
  assert.equal(bad.seen.at(-1)?.type, "abandon");
  assert.equal(live.revision, 1);
  bad.refuses = () => undefined;
  assert.deepEqual(await publish(change(3, "b", "c")), { outcome: "live" });
  for (const member of [good, bad]) assert.deepEqual(routes(member), ["a", "b", "c"]);
});

test("changes that are published while one is in progress follow it, each whole, in their order", async () => {
  const member = new FakeMember(1);
  const { publish } = await publishing(member);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  member.answers = async (message) => {
    await held;
    return member.willing(message);
  };
  const results = [change(1, "a"), change(2, "b", "-a"), change(3, "c")].map(publish);
  release();
  assert.deepEqual(
    (await Promise.all(results)).map(({ outcome }) => outcome),
    ["live", "live", "live"],
  );
  assert.deepEqual(
    member.seen.map(({ type }) => type),
    ["prepare", "commit", "prepare", "commit", "prepare", "commit"],
  );
  assert.deepEqual(routes(member), ["b", "c"]);
});

test("a worker that dies while it prepares does not stop the others", async () => {
  const [good, dying] = [new FakeMember(1), new FakeMember(2)];
  const { publisher, publish } = await publishing(good, dying);
  dying.answers = () => {
    publisher.leave(dying);
    return undefined;
  };
  assert.equal((await publish(change(1, "a"))).outcome, "live");
  assert.deepEqual(routes(good), ["a"]);
});

test("a publication that outlives all its workers is refused, not taken for good", async () => {
  const dying = new FakeMember(1);
  const { publisher, publish, live } = await publishing(dying);
  dying.answers = () => {
    publisher.leave(dying);
    return undefined;
  };
  assert.equal((await publish(change(1, "a"))).outcome, "refused");
  assert.equal(live.revision, 0);
});

test("a worker that does not answer in time refuses in its own name", async () => {
  const silent = new FakeMember(7);
  const { publish } = await publishing(silent);
  silent.answers = () => undefined;
  const result = await publish(change(1, "a"));
  assert.deepEqual(result, { outcome: "refused", message: "worker 7 did not finish building it", failures: [] });
});

test("a worker that arrives later gets everything that is live, and a change waits for it", async () => {
  const first = new FakeMember(1);
  const { publisher, publish } = await publishing(first);
  await publish(change(1, "a", "b"));
  const late = new FakeMember(2);
  const joined = publisher.join(late);
  const published = publish(change(2, "c", "-a"));
  assert.equal(await joined, undefined);
  assert.equal((await published).outcome, "live");
  assert.deepEqual(
    late.prepared.map(({ revision }) => revision),
    [1, 2],
  );
  for (const member of [first, late]) assert.deepEqual(routes(member), ["b", "c"]);
});

test("a worker that cannot run what is live is told why and takes no part", async () => {
  const { publisher, publish } = await publishing(new FakeMember(1));
  await publish(change(1, "a"));
  const late = new FakeMember(2);
  late.answers = no("out of memory");
  assert.equal(await publisher.join(late), "out of memory");
  const before = late.seen.length;
  await publish(change(2, "b"));
  assert.equal(late.seen.length, before);
});

test("a worker that leaves before its turn is told that it is gone", async () => {
  const first = new FakeMember(1);
  const { publisher, publish } = await publishing(first);
  const published = publish(change(1, "a"));
  const late = new FakeMember(2);
  const joined = publisher.join(late);
  publisher.leave(late);
  assert.equal(await joined, "it is gone");
  assert.equal((await published).outcome, "live");
  assert.deepEqual(late.seen, []);
});

test("a change waits until there is a worker to check it", async () => {
  const { publisher, publish } = await publishing();
  const published = publish(change(1, "a"));
  const member = new FakeMember(1);
  await publisher.join(member);
  assert.equal((await published).outcome, "live");
  assert.deepEqual(routes(member), ["a"]);
});

test("a worker that does not follow a commit is ended, so that its replacement gets all that is live", async () => {
  const member = new FakeMember(1);
  const { publish } = await publishing(member);
  member.answers = (message) => (message.type === "prepare" ? { type: "prepared", id: message.id } : undefined);
  assert.equal((await publish(change(1, "a"))).outcome, "live");
  assert.equal(member.ended, true);
});

test("a rehearsal has all workers build a change and throw it away", async () => {
  const [one, two] = [new FakeMember(1), new FakeMember(2)];
  const { publisher, publish, live } = await publishing(one, two);
  assert.equal(await publisher.rehearse(change(0, "a")), undefined);
  for (const member of [one, two]) {
    assert.deepEqual(
      member.seen.map(({ type }) => type),
      ["prepare", "abandon"],
    );
    assert.deepEqual(routes(member), []);
  }
  two.answers = no("out of memory");
  assert.equal((await publisher.rehearse(change(0, "a")))?.message, "out of memory");
  assert.equal(live.revision, 0);
  two.answers = (message) => two.willing(message);
  assert.equal((await publish(change(1, "b"))).outcome, "live");
  assert.deepEqual(routes(two), ["b"]);
});

/** Routes as they are told ahead: the objects that the change holds. */
function aheadOf(one: SnapshotChange): AheadRoute[] {
  return Object.entries(one.routes?.set ?? {});
}

/** The changes as they were told, and the parts before them. */
function told({ asked }: { readonly asked: ToWorker[] }): unknown[] {
  return asked.flatMap((message): unknown[] => {
    if (message.type === "ahead") return [(JSON.parse(message.text) as AheadRoute[]).map(([name]) => name).join()];
    if (message.type !== "prepare") return message.type === "forget-ahead" ? ["forget"] : [];
    const { routes: { set = {} } = {}, aheadBut } = message.change;
    return [{ set: Object.keys(set).join(), but: aheadBut?.join() }];
  });
}

test("what was told ahead is not told again, and what the change does not have of it is named", async () => {
  const [member = new FakeMember()] = members(1);
  const { publisher, publish } = await publishing(member);
  const one = change(1, "a", "b", "c", "-x");
  await publish(change(0, "x"));
  const [a, b, c] = aheadOf(one);
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  publisher.ahead([a, ["other", b[1]]]);
  // Says the same as the change, but is not what the change holds.
  publisher.ahead([[c[0], { ...c[1] }]]);
  await publish(one);
  publisher.forgetAhead();
  await publish(change(2, "d"));
  assert.deepEqual(told(member), [
    { set: "x", but: undefined },
    "a,other",
    "c",
    { set: "b,c", but: "other,c" },
    "forget",
    { set: "d", but: undefined },
  ]);
  assert.deepEqual(routes(member).sort(), ["a", "b", "c", "d"]);
});

test("a worker that arrives meanwhile is told ahead what the others were, behind all that is live", async () => {
  const [first = new FakeMember(), second = new FakeMember()] = members(2);
  const { publisher, publish } = await publishing(first);
  await publish(change(1, "live"));
  const one = change(2, "a", "b");
  const [a, b] = aheadOf(one);
  assert.ok(a !== undefined && b !== undefined);
  publisher.ahead([a]);
  const joined = publisher.join(second);
  publisher.ahead([b]);
  await joined;
  await publish(one);
  assert.deepEqual(told(second), [{ set: "live", but: undefined }, "a", "b", { set: "", but: "" }]);
  for (const member of [first, second]) assert.deepEqual(routes(member), ["live", "a", "b"]);
});

test("a rehearsal between has nothing of what was told ahead", async () => {
  const [member = new FakeMember()] = members(1);
  const { publisher, publish } = await publishing(member);
  const one = change(1, "a");
  publisher.ahead(aheadOf(one));
  assert.equal(await publisher.rehearse(change(2, "tried")), undefined);
  await publish(one);
  assert.deepEqual(told(member), ["a", { set: "tried", but: undefined }, { set: "", but: "" }]);
});
