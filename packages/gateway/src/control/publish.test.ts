import assert from "node:assert/strict";
import { test } from "node:test";
import type { Resources } from "@headgate/schema";
import { Publisher, type Member } from "./publish.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";

function resources(...routes: string[]): Resources {
  const entries = routes.map((name) => [name, { match: [{ path: `/${name}` }], use: [], priority: 0 }] as const);
  return {
    routes: Object.fromEntries(entries),
    services: {},
    middlewares: {},
    consumers: {},
    plugins: {},
    global: [],
  };
}

/** A worker that answers as told and keeps what it was sent and what it runs. */
class FakeMember implements Member {
  readonly workerId: number;
  readonly seen: ToWorker[] = [];
  readonly runs = new Set<string>();
  ended = false;
  answers: (message: ToWorker) => FromWorker | undefined | Promise<FromWorker | undefined>;
  #prepared: Extract<ToWorker, { type: "prepare" }> | undefined;

  constructor(workerId: number, answers = (message: ToWorker) => this.willing(message)) {
    this.workerId = workerId;
    this.answers = answers;
  }

  post(message: ToWorker): void {
    this.seen.push(message);
  }

  async ask(message: ToWorker): Promise<FromWorker | undefined> {
    this.post(message);
    return this.answers(message);
  }

  end(): void {
    this.ended = true;
  }

  willing(message: ToWorker): FromWorker | undefined {
    if (message.type === "prepare") {
      this.#prepared = message;
      return { type: "prepared", id: message.id };
    }
    if (message.type !== "commit" || this.#prepared?.id !== message.id) return undefined;
    for (const name of Object.keys(this.#prepared.change.routes?.set ?? {})) this.runs.add(name);
    for (const name of this.#prepared.change.routes?.delete ?? []) this.runs.delete(name);
    return { type: "committed", id: message.id, revision: this.#prepared.change.revision };
  }
}

async function withMembers(...members: FakeMember[]): Promise<Publisher> {
  const publisher = new Publisher();
  for (const member of members) assert.equal(await publisher.join(member), undefined);
  return publisher;
}

test("all workers prepare before any commits, and the outcome is live", async () => {
  const order: string[] = [];
  const members = [1, 2, 3].map((id) => {
    const member: FakeMember = new FakeMember(id, (message) => {
      order.push(message.type);
      return member.willing(message);
    });
    return member;
  });
  const publisher = await withMembers(...members);
  assert.deepEqual(await publisher.publish(resources("a"), 1), { outcome: "live", revision: 1 });
  assert.deepEqual(order, ["prepare", "prepare", "prepare", "commit", "commit", "commit"]);
  for (const member of members) assert.deepEqual([...member.runs], ["a"]);
  assert.equal(publisher.live?.revision, 1);
});

test("one worker that cannot prepare keeps all on what they have, and the next change is the difference to that", async () => {
  const good = new FakeMember(1);
  const bad = new FakeMember(2);
  const publisher = await withMembers(good, bad);
  await publisher.publish(resources("a"), 1);
  bad.answers = (message) =>
    message.type === "prepare" ? { type: "rejected", id: message.id, message: "no such algorithm" } : undefined;
  assert.deepEqual(await publisher.publish(resources("a", "b"), 2), {
    outcome: "rejected",
    message: "no such algorithm",
  });
  assert.equal(good.seen.at(-1)?.type, "abandon");
  assert.equal(publisher.live?.revision, 1);
  bad.answers = (message) => bad.willing(message);
  assert.equal((await publisher.publish(resources("a", "b", "c"), 3)).outcome, "live");
  assert.deepEqual([...good.runs], ["a", "b", "c"]);
  assert.deepEqual([...bad.runs], ["a", "b", "c"]);
});

test("what is live already is not sent again", async () => {
  const member = new FakeMember(1);
  const publisher = await withMembers(member);
  await publisher.publish(resources("a"), 1);
  const sent = member.seen.length;
  assert.deepEqual(await publisher.publish(resources("a"), 2), { outcome: "unchanged", revision: 1 });
  assert.equal(member.seen.length, sent);
});

test("of the changes that wait for one in progress only the newest is published", async () => {
  const member = new FakeMember(1);
  const publisher = await withMembers(member);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  member.answers = async (message) => {
    await held;
    return member.willing(message);
  };
  const results = [resources("a"), resources("b"), resources("c")].map((next, index) =>
    publisher.publish(next, index + 1),
  );
  release();
  assert.deepEqual(
    (await Promise.all(results)).map((result) => result.outcome),
    ["live", "superseded", "live"],
  );
  assert.deepEqual([...member.runs], ["c"]);
});

test("a worker that dies while it prepares does not stop the others", async () => {
  const good = new FakeMember(1);
  const dying = new FakeMember(2);
  const publisher = await withMembers(good, dying);
  dying.answers = () => {
    publisher.leave(dying);
    return undefined;
  };
  assert.equal((await publisher.publish(resources("a"), 1)).outcome, "live");
  assert.deepEqual([...good.runs], ["a"]);
});

test("a publication that outlives all its workers is rejected, not taken for good", async () => {
  const dying = new FakeMember(1);
  const publisher = await withMembers(dying);
  dying.answers = () => {
    publisher.leave(dying);
    return undefined;
  };
  assert.equal((await publisher.publish(resources("a"), 1)).outcome, "rejected");
  assert.equal(publisher.live, undefined);
});

test("a worker that arrives later gets everything that is live, and a change waits for it", async () => {
  const first = new FakeMember(1);
  const publisher = await withMembers(first);
  await publisher.publish(resources("a", "b"), 1);
  const late = new FakeMember(2);
  const joined = publisher.join(late);
  const published = publisher.publish(resources("b", "c"), 2);
  assert.equal(await joined, undefined);
  assert.equal((await published).outcome, "live");
  assert.deepEqual([...late.runs], ["b", "c"]);
  assert.deepEqual([...first.runs], ["b", "c"]);
});

test("a worker that cannot run what is live is told why and takes no part", async () => {
  const publisher = await withMembers(new FakeMember(1));
  await publisher.publish(resources("a"), 1);
  const late = new FakeMember(2, (message) =>
    message.type === "prepare" ? { type: "rejected", id: message.id, message: "out of memory" } : undefined,
  );
  assert.equal(await publisher.join(late), "out of memory");
  const before = late.seen.length;
  await publisher.publish(resources("b"), 2);
  assert.equal(late.seen.length, before);
});

test("a change waits until there is a worker to check it", async () => {
  const publisher = new Publisher();
  const published = publisher.publish(resources("a"), 1);
  const member = new FakeMember(1);
  await publisher.join(member);
  assert.equal((await published).outcome, "live");
  assert.deepEqual([...member.runs], ["a"]);
});

test("a worker that does not follow a commit is ended, so that its replacement gets all that is live", async () => {
  const member = new FakeMember(1);
  const publisher = await withMembers(member);
  member.answers = (message) => (message.type === "prepare" ? { type: "prepared", id: message.id } : undefined);
  assert.equal((await publisher.publish(resources("a"), 1)).outcome, "live");
  assert.equal(member.ended, true);
});
