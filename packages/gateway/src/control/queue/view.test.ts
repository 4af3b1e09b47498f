import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../tests/kit/clock.ts";
import { Seal, sealKeyBytes } from "../../core/seal.ts";
import { sealBody, sealHead, type MessageHead } from "../../proxy/message.ts";
import { openFile, queueOf } from "./embedded/queue-file.fixtures.ts";
import { failure, newMessage, plenty } from "./queue.fixtures.ts";
import { QueueView, shownBodyBytesMax } from "./view.ts";

const seal = new Seal(randomBytes(sealKeyBytes));
const client = { ip: "192.0.2.9", port: 4000, peer: "192.0.2.9", scheme: "http", localPort: 80 } as const;
const lines = "Host: a\r\nAuthorization: Bearer t\r\nX-Kept: yes\r\n";

function open(t: TestContext) {
  const clock = new FakeClock();
  const queue = queueOf(openFile(t, plenty, clock).file());
  let pokes = 0;
  const view = new QueueView(
    () => queue,
    seal,
    () => pokes++,
  );
  const put = async (head: Partial<MessageHead> = {}, body?: Uint8Array, by = seal) => {
    const made = newMessage();
    const whole: MessageHead = { method: "POST", target: "/a?token=t&b=1", lines, client, ...head };
    const { id, body: _, ...rest } = made;
    const sealed = body === undefined ? {} : { body: sealBody(by, id, body) };
    await queue.enqueue({ ...rest, id, head: sealHead(by, id, whole), ...sealed });
    return id;
  };
  return { clock, queue, view, put, pokes: () => pokes };
}

test("a message is shown with its request, and credentials are hidden until they are asked for", async (t) => {
  const { view, put } = open(t);
  const id = await put({ key: "own" }, Buffer.from("äöü"));
  const shown = await view.get(id, false);
  assert.ok(shown !== undefined);
  assert.deepEqual([shown.method, shown.path, shown.idempotencyKey], ["POST", "/a?token=[redacted]&b=1", "own"]);
  assert.deepEqual(shown.headers, [
    ["Host", "a"],
    ["Authorization", "[redacted]"],
    ["X-Kept", "yes"],
  ]);
  assert.deepEqual(shown.body, { text: "äöü" });
  const whole = await view.get(id, true);
  assert.equal(whole?.path, "/a?token=t&b=1");
  assert.deepEqual(whole.headers[1], ["Authorization", "Bearer t"]);
  assert.equal(await view.get("01ARYZ6S410000000000000000", false), undefined);
});

test("a body that is no text is shown in base64, of a long one the beginning", async (t) => {
  const { view, put } = open(t);
  const binary = await put({}, Buffer.from([255, 0, 254]));
  assert.deepEqual((await view.get(binary, false))?.body, { base64: Buffer.from([255, 0, 254]).toString("base64") });
  // The cut goes through a character of two bytes.
  const long = await put({}, Buffer.from(`x${"ä".repeat(shownBodyBytesMax)}`));
  const body = (await view.get(long, false))?.body;
  assert.deepEqual([body?.truncated, body?.text?.length], [true, 1 + (shownBodyBytesMax - 2) / 2]);
  const none = await put();
  assert.equal((await view.get(none, false))?.body, undefined);
});

test("what was sealed with another key is listed with what is known of it", async (t) => {
  const { view, put } = open(t);
  const id = await put({}, Buffer.from("x"), new Seal(randomBytes(sealKeyBytes)));
  const { messages } = await view.list({ limit: 10 });
  assert.deepEqual([messages[0]?.id, messages[0]?.method, messages[0]?.route], [id, undefined, "r"]);
  const shown = await view.get(id, true);
  assert.deepEqual([shown?.headers, shown?.body], [[], undefined]);
});

test("the list tells of each state what matters there", async (t) => {
  const { clock, view, put, queue } = open(t);
  const dead = await put();
  const [taken] = await queue.reserve("s", 1, Infinity, 60_000);
  assert.ok(taken !== undefined);
  clock.advance(5_000);
  await queue.bury(taken.lease, "refused", failure("i answered 404."));
  const waiting = await put();
  const { stats, messages, cursor } = await view.list({ limit: 10 });
  const [first, second] = messages;
  assert.ok(first !== undefined);
  assert.deepEqual([first.id, first.state, first.diedAt, first.cause], [waiting, "waiting", undefined, undefined]);
  assert.equal(first.nextAt, first.firstAt);
  assert.deepEqual([second?.id, second?.state, second?.nextAt], [dead, "dead", undefined]);
  assert.deepEqual([second?.cause, second?.lastError, second?.attempts], ["refused", "i answered 404.", 1]);
  assert.equal(Date.parse(second?.diedAt ?? "") - Date.parse(second?.firstAt ?? ""), 5_000);
  assert.deepEqual([stats.waiting, stats.dead, stats.oldestAt, cursor], [1, 1, first.firstAt, null]);
});

test("many are replayed and purged in steps, and whoever delivers is told", async (t) => {
  const { view, put, queue, pokes } = open(t);
  for (let count = 0; count < 600; count++) await put();
  for (const { lease } of await queue.reserve("s", 600, Infinity, 60_000)) {
    await queue.bury(lease, "refused", failure("404"));
  }
  assert.equal(await view.replay({ state: "dead" }), 600);
  assert.equal(pokes(), 1);
  assert.equal((await queue.stats()).waiting, 600);
  const [one] = (await view.list({ limit: 1 })).messages;
  assert.equal(await view.purge({ ids: [one?.id ?? "", one?.id ?? "", "01ARYZ6S410000000000000000"] }), 1);
  assert.equal(await view.purge({ state: "waiting" }), 599);
});

test("where there has never been a message there is nothing, and no file is made to find out", async () => {
  const view = new QueueView(
    () => undefined,
    seal,
    () => {},
  );
  const { stats, messages, cursor } = await view.list({ limit: 10 });
  assert.deepEqual([stats.waiting, stats.oldestAt, messages, cursor], [0, null, [], null]);
  assert.deepEqual(
    [await view.replay({ state: "dead" }), await view.purge({}), await view.get("x", false)],
    [0, 0, undefined],
  );
});
