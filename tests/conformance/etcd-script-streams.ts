import {
  compact,
  compare,
  del,
  grant,
  leases,
  part,
  put,
  range,
  revoke,
  timeToLive,
  txn,
  watching,
} from "./etcd-script.ts";
import type { Step, WatchAct } from "./etcd-script.ts";

const watch = (name: string, ...acts: readonly WatchAct[]): Step => ({ name, call: "Watch", acts });
const also = (call: Extract<WatchAct, { also: unknown }>["also"], events = 0): WatchAct => ({ also: call, events });
const created = (keys: string, more: Parameters<typeof watching>[1] = {}, events = 0): WatchAct => ({
  ...watching(keys, more),
  answers: 1,
  events,
});
const t = (...calls: Parameters<typeof txn>[1]) => txn([], calls);

/** Runs on a fresh store: revisions stand in the script. */
const watches = part("watch", [
  put("w/a", "1"), // 2
  put("w/b", "1"), // 3
  t(put("w/a", "2"), put("w/b", "2"), put("x", "1")), // 4
  del("w/a"), // 5
  put("w/a", "3"), // 6
  watch("a key from now on", created("w/a"), also(put("w/a", "4"), 1), also(put("w/b", "4")), also(del("w/a"), 1)), // 7 8 9
  watch("a prefix from now on", created("w/..w0"), also(t(put("w/a", "5"), put("w/c", "1"), put("y", "1")), 2)), // 10
  watch("from the past", created("w/..w0", { start_revision: "2" }, 11)),
  watch("from the past, with what was before", created("w/..w0", { start_revision: "2", prev_kv: true }, 11)),
  watch("from the present revision", created("w/..w0", { start_revision: "10" }, 2)),
  watch("one key from the past", created("w/a", { start_revision: "3", prev_kv: true }, 6)),
  watch("everything from a key on", created("w/b..", { start_revision: "2" }, 6)),
  watch("everything", created("..", { start_revision: "4", prev_kv: true }, 11)),
  watch(
    "from the future",
    created("w/..w0", { start_revision: "13" }),
    also(put("w/a", "6")), // 11
    also(put("w/a", "7")), // 12
    also(put("w/a", "8"), 1), // 13
    also(put("w/a", "9"), 1), // 14
  ),
  watch("no puts", created("w/..w0", { start_revision: "2", filters: ["NOPUT"] }, 2), also(del("w/c"), 1)), // 15
  watch(
    "no deletions",
    created("w/..w0", { start_revision: "2", filters: ["NODELETE"] }, 13),
    also(del("w/b")),
    also(put("w/b"), 1),
  ), // 16 17
  watch("neither", created("w/..w0", { start_revision: "2", filters: ["NODELETE", "NOPUT"] })),
  watch(
    "ids of its own choice",
    created("w/a"),
    created("w/b"),
    created("w/c", { watch_id: "7" }),
    created("w/d"),
    also(put("w/c"), 1),
  ), // 18
  watch(
    "an id that comes to be in the way",
    created("w/a", { watch_id: "1" }),
    created("w/b"),
    created("w/c"),
    also(put("w/c"), 1),
  ), // 19
  watch("an id twice", created("w/a", { watch_id: "5" }), created("w/b", { watch_id: "5" }), also(put("w/a", "10"), 1)), // 20
  watch("a negative id", created("w/a", { watch_id: "-3" }), also(put("w/a", "11"), 1)), // 21
  watch(
    "an id again after it was cancelled",
    created("w/a", { watch_id: "5" }),
    { cancel: "5", answers: 1 },
    created("w/b", { watch_id: "5" }),
    also(put("w/b", "11"), 1),
  ), // 22
  watch(
    "cancelled",
    created("w/a"),
    created("w/b"),
    { cancel: "0", answers: 1 },
    also(put("w/a", "12")),
    also(put("w/b", "12"), 1),
    created("w/c"),
  ), // 23 24
  watch("an unknown one cancelled", created("w/a"), { cancel: "99" }, also(put("w/a", "13"), 1)), // 25
  watch("an empty range", created("w/b..w/a"), created("w/b..w/b")),
  watch("an empty key is the smallest", created("", { start_revision: "2" }), also(put("\0", "x"), 1)), // 26
  watch("an empty key with an end", {
    create: { key: Buffer.from(""), range_end: Buffer.from("w/b"), start_revision: "20" },
    answers: 1,
    events: 5,
  }),
  watch(
    "progress",
    { progress: true, answers: 1 },
    created("w/a"),
    { progress: true, answers: 1 },
    also(put("w/a", "14"), 1),
    { progress: true, answers: 1 },
  ), // 27
  watch(
    "several on one stream",
    created("w/a"),
    created("w/..w0"),
    created("w/a", { prev_kv: true }),
    also(put("w/a", "15"), 3),
  ), // 28
  watch(
    "a transaction that changes nothing",
    created(".."),
    also(t(range("w/a"), del("none"))),
    also(del("none")),
    also(put("w/z"), 1),
  ), // 29
  watch(
    "what a lease takes with it",
    created("w/..w0", { prev_kv: true }),
    also(grant("500", "60")),
    also(put("w/l1", "1", { lease: "500" }), 1),
    also(put("w/l2", "2", { lease: "500" }), 1),
    also(revoke("500"), 2),
  ), // 30 31 32
  watch("a negative start", created("w/a", { start_revision: "-1" })),
  compact(20),
  watch("compacted", { ...watching("w/..w0", { start_revision: "19" }), answers: 2 }),
  watch("compacted, with an id", { ...watching("w/..w0", { start_revision: "5", watch_id: "9" }), answers: 2 }),
  watch(
    "a compacted one beside one that is not",
    created("w/a"),
    { ...watching("w/a", { start_revision: "2" }), answers: 2 },
    also(put("w/a", "16"), 1),
  ), // 33
  watch("at the compacted revision", created("w/..w0", { start_revision: "20", prev_kv: true }, 14)),
  watch("after the compacted revision", created("w/..w0", { start_revision: "21", prev_kv: true }, 13)),
  watch("compacted under way", created("w/a"), also(compact(30)), also(put("w/a", "17"), 1)), // 34
]);

const large = "x".repeat(1_000_000);

const fragments = part("fragment", [
  ...[1, 2, 3].map((index) => put(`f/${index}`, `${index}${large}`)),
  put("f/3", "small"),
  watch("asked for", created("f/..f0", { start_revision: "35", fragment: true }, 4)),
  watch("not asked for", created("f/..f0", { start_revision: "35" }, 4)),
  watch("one large deletion", created("f/..f0", { prev_kv: true, fragment: true }), also(del("f/..f0"), 3)),
]);

const leasing = part("lease", [
  leases,
  grant("1000", "0"),
  grant("1001", "-5"),
  grant("1002", "1"),
  grant("1003", "60"),
  grant("1003", "60"),
  grant("1004", "9000000000"),
  grant("1005", "9000000001"),
  grant("-6", "60"),
  grant("9223372036854775807", "60"),
  leases,
  revoke("999999"),
  revoke("0"),
  timeToLive("999999"),
  timeToLive("999999", true),
  timeToLive("0"),
  timeToLive("1003"),
  timeToLive("1003", true),
  timeToLive("1004"),
  put("l/1", "1", { lease: "1003" }),
  put("l/2", "2", { lease: "1003" }),
  put("l/3", "3", { lease: "9223372036854775807" }),
  timeToLive("1003", true),
  timeToLive("1003"),
  range("l/..l0"),
  put("l/1", "1b", { ignore_lease: true }),
  range("l/1"),
  put("l/1", "", { ignore_value: true }),
  range("l/1"),
  timeToLive("1003", true),
  put("l/1", "1c", { lease: "1003" }),
  put("l/1", "1d", { lease: "9223372036854775807" }),
  timeToLive("1003", true),
  timeToLive("9223372036854775807", true),
  txn([compare("l/1", "LEASE", "EQUAL", { lease: "9223372036854775807" })], [range("l/1")], []),
  txn([compare("l/1", "LEASE", "GREATER", { lease: "9223372036854775806" })], [range("l/1")], []),
  txn([compare("l/1", "LEASE", "LESS", { lease: "-1" })], [range("l/1")], []),
  txn([compare("l/..l0", "LEASE", "GREATER", { lease: "0" })], [range("l/2")], []),
  { name: "kept alive", call: "LeaseKeepAlive", ids: ["1003", "999999", "0", "9223372036854775807", "1003"] },
  del("l/2"),
  timeToLive("1003", true),
  put("l/2", "2", { lease: "1003" }),
  put("l/4", "2", { lease: "1003" }),
  revoke("1003"),
  range("l/..l0"),
  revoke("1003"),
  timeToLive("1003", true),
  revoke("9223372036854775807"),
  revoke("-6"),
  range("l/..l0", { count_only: true }),
  leases,
]);

const rest = part("other", [
  { name: "alarms", call: "Alarm", request: { action: "GET" } },
  { call: "Authenticate", request: { name: "root", password: "x" } },
  { call: "Range", request: { key: Buffer.from("w/a"), sort_order: "DESCEND", sort_target: "VALUE" } },
]);

export const streamScript: readonly Step[] = [...watches, ...fragments, ...leasing, ...rest];
