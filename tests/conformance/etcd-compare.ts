import { createHash } from "node:crypto";
import type * as m from "../../packages/gateway/src/control/store/etcd/messages.ts";
import type { Answer, Caller, Conversation } from "./etcd-caller.ts";
import type { Call, Step, WatchAct } from "./etcd-script.ts";

/** Runs a script; of every step what was answered, in a form in which two servers can be compared. */
export async function runScript(caller: Caller, steps: readonly Step[]): Promise<ReadonlyMap<string, unknown>> {
  const answers = new Map<string, unknown>();
  for (const step of steps) {
    if (answers.has(step.name)) throw new Error(`two steps have the name "${step.name}"`);
    answers.set(step.name, await runStep(caller, step));
  }
  return answers;
}

async function runStep(caller: Caller, step: Step): Promise<unknown> {
  if (step.call === "Watch") return runWatch(caller, step.acts);
  if (step.call !== "LeaseKeepAlive") return plainAnswer(await runCall(caller, step));
  const conversation = caller.keepAlive();
  for (const ID of step.ids) conversation.send({ ID });
  const received = await conversation.until((all) => all.length === step.ids.length, step.name);
  conversation.end();
  return received.map((response) => plain(response));
}

async function runCall(caller: Caller, step: Call): Promise<Answer<unknown>> {
  const { KV, Lease, Maintenance, Auth } = caller.rpc;
  switch (step.call) {
    case "Range":
      return caller.unary(KV.Range, step.request);
    case "Put":
      return caller.unary(KV.Put, step.request);
    case "DeleteRange":
      return caller.unary(KV.DeleteRange, step.request);
    case "Txn":
      return caller.unary(KV.Txn, step.request);
    case "Compact":
      return caller.unary(KV.Compact, step.request);
    case "LeaseGrant":
      return caller.unary(Lease.LeaseGrant, step.request);
    case "LeaseRevoke":
      return caller.unary(Lease.LeaseRevoke, step.request);
    case "LeaseTimeToLive":
      return timeToLive(await caller.unary(Lease.LeaseTimeToLive, step.request));
    case "LeaseLeases": {
      // etcd sorts by expiry, which is not part of the API.
      const answer = await caller.unary(Lease.LeaseLeases, step.request);
      if ("error" in answer) return answer;
      return { response: { ...answer.response, leases: answer.response.leases.map(({ ID }) => ID).sort() } };
    }
    case "Alarm":
      return caller.unary(Maintenance.Alarm, step.request);
    case "Authenticate":
      return caller.unary(Auth.Authenticate, step.request);
  }
}

/** Seconds that a run may take, in which the time left differs from what was granted. */
const runSecondsMax = 30;

function timeToLive(answer: Answer<m.LeaseTimeToLiveResponse>): Answer<unknown> {
  if ("error" in answer) return answer;
  const { TTL, grantedTTL, keys } = answer.response;
  const lost = Number(grantedTTL) - Number(TTL);
  const left = Number(TTL) > 0 && lost >= 0 && lost < runSecondsMax ? "about what was granted" : TTL;
  // etcd keeps them in no order.
  return { response: { ...answer.response, TTL: left, keys: keys.map((key) => key.toString("latin1")).sort() } };
}

type WatchTalk = Conversation<m.WatchRequestMessage, m.WatchResponse>;

const eventsOf = (all: readonly m.WatchResponse[]): number => all.reduce((sum, one) => sum + one.events.length, 0);
const answersOf = (all: readonly m.WatchResponse[]): number => all.filter((one) => one.events.length === 0).length;

async function runWatch(caller: Caller, acts: readonly WatchAct[]): Promise<unknown> {
  const talk = caller.watch();
  const also: unknown[] = [];
  let answers = 0;
  let events = 0;
  for (const act of acts) {
    if ("create" in act) talk.send({ create_request: act.create });
    else if ("cancel" in act) talk.send({ cancel_request: { watch_id: act.cancel } });
    else if ("progress" in act) talk.send({ progress_request: {} });
    else also.push(plainAnswer(await runCall(caller, act.also)));
    answers += act.answers ?? 0;
    events += act.events ?? 0;
    await untilReceived(talk, answers, events);
  }
  // What comes beyond what was waited for comes before the answer to this, unless it came much later.
  talk.send({ progress_request: {} });
  await untilReceived(talk, answers + 1, events);
  talk.cancel();
  return { also, watches: byWatch(talk.received) };
}

async function untilReceived(talk: WatchTalk, answers: number, events: number): Promise<void> {
  const enough = (all: readonly m.WatchResponse[]): boolean => answersOf(all) >= answers && eventsOf(all) >= events;
  try {
    await talk.until(enough, `${answers} answers and ${events} events`);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`${text}: ${JSON.stringify(byWatch(talk.received), undefined, 1)}`, { cause: error });
  }
}

/**
 * What each watch was told, in order. In how many answers events come, and what revision their header has, depends on
 * when they are read: left out. That a revision does not come in two answers is not.
 */
function byWatch(received: readonly m.WatchResponse[]): Record<string, unknown[]> {
  const told: Record<string, unknown[]> = {};
  const last = new Map<string, { revision: string; fragment: boolean }>();
  for (const { header, watch_id: id, events, fragment, ...answer } of received) {
    const list = (told[id] ??= []);
    if (events.length === 0) list.push(plain({ header, fragment, ...answer }));
    for (const [index, event] of events.entries()) {
      const revision = event.kv?.mod_revision ?? "";
      const before = last.get(id);
      const split = index === 0 && before?.revision === revision ? { split: before.fragment ? "fragment" : true } : {};
      list.push({ ...split, event: plain(event) });
      last.set(id, { revision, fragment });
    }
  }
  return told;
}

function plainAnswer(answer: Answer<unknown>): unknown {
  return "response" in answer ? plain(answer.response) : answer.error;
}

const textLengthMax = 200;

/** Without what differs between any two servers: ids and terms (only whether there are any), and long values. */
function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) {
    const text = value.toString("latin1");
    return text.length <= textLengthMax
      ? text
      : `${text.length} bytes ${createHash("md5").update(value).digest("hex")}`;
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      const isId = name === "cluster_id" || name === "member_id" || name === "raft_term";
      return [name, isId ? field !== "0" : plain(field)];
    }),
  );
}
