import { compact, compare, del, part, put, range, txn, type Step } from "./etcd-script.ts";

const sortTargets = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"] as const;
const sortOrders = ["NONE", "ASCEND", "DESCEND"] as const;

const puts = part("put", [
  range("a"),
  range(".."),
  del("a"),
  put("a", "1"),
  put("a", "2", { prev_kv: true }),
  put("b", "1", { prev_kv: true }),
  put("", "x"),
  put("c", "x", { ignore_value: true }),
  put("c", "", { ignore_value: true }),
  put("c", "", { ignore_lease: true }),
  put("a", "", { ignore_value: true, prev_kv: true }),
  put("a", "3", { ignore_lease: true }),
  put("a", "4", { lease: "77" }),
  put("a", "4", { lease: "-77" }),
  put("a", "", { ignore_lease: true, lease: "77" }),
  put("a", "x", { ignore_value: true, ignore_lease: true, lease: "77" }),
  put("empty"),
  range("empty"),
  put("\0", "smallest"),
  put("\xff\xff", "largest"),
  put("binary\0\x80\xff", "\0\x80\xff"),
  range("binary\0\x80\xff"),
  range(".."),
]);

const ranges = part("range", [
  ...["d/1", "d/3", "d/2"].map((key, index) => put(key, String(9 - index))),
  put("d/1", "5"),
  put("d/1", "6"),
  put("d/2", "0"),
  range("d/1"),
  range("d/..d0"),
  range("d/2.."),
  range("d/1..d/1"),
  range("d/3..d/1"),
  range("d/..d/2"),
  range(""),
  range("..d/"),
  range("d/..d0", { limit: "2" }),
  range("d/..d0", { limit: "3" }),
  range("d/..d0", { limit: "-1" }),
  range("d/1", { limit: "1" }),
  range("d/..d0", { keys_only: true }),
  range("d/..d0", { count_only: true }),
  range("d/..d0", { count_only: true, limit: "1" }),
  range("none", { count_only: true }),
  range("d/..d0", { count_only: true, keys_only: true }),
  range("d/..d0", { serializable: true }),
  range("d/..d0", { limit: "2", sort_order: "DESCEND" }),
  { ...range("d/..d0", { limit: "1", sort_target: "MOD" }), name: "sorted by default" },
  // WithFirstCreate, WithLastRev and WithLastCreate of clientv3, on which its elections and locks stand.
  range("d/..d0", { limit: "1", sort_target: "CREATE", sort_order: "ASCEND" }),
  range("d/..d0", { limit: "1", sort_target: "MOD", sort_order: "DESCEND" }),
  range("d/..d0", { limit: "1", sort_target: "CREATE", sort_order: "DESCEND", max_create_revision: "14" }),
  range("d/..d0", { min_mod_revision: "16" }),
  range("d/..d0", { max_mod_revision: "16" }),
  range("d/..d0", { min_mod_revision: "15", max_mod_revision: "17" }),
  range("d/..d0", { min_create_revision: "14" }),
  range("d/..d0", { max_create_revision: "14" }),
  range("d/..d0", { max_create_revision: "14", limit: "1" }),
  range("d/..d0", { max_create_revision: "-1" }),
  range("d/..d0", { min_create_revision: "14", count_only: true }),
  range("d/..d0", { revision: "15" }),
  range("d/..d0", { revision: "14", limit: "1" }),
  range("d/..d0", { revision: "-3" }),
  range("d/..d0", { revision: "1" }),
  range("d/..d0", { revision: "100000" }),
  range("d/..d0", { revision: "9007199254740993" }),
  ...sortTargets.flatMap((sort_target) => sortOrders.map((sort_order) => range("d/..d0", { sort_target, sort_order }))),
]);

const deletes = part("delete", [
  del(""),
  del("none"),
  del("none", { prev_kv: true }),
  del("d/1"),
  del("d/1"),
  range("d/1"),
  put("d/1", "again"),
  range("d/1"),
  del("d/..d0", { prev_kv: true }),
  range("d/..d0"),
  range("d/..d0", { revision: "18" }),
  del("z..b"),
  put("e1"),
  put("e2"),
  del("e.."),
  range(".."),
]);

const t = (...calls: Parameters<typeof txn>[1]) => txn([], calls);

const transactions = part("transaction", [
  t(),
  t(range("t")),
  t(put("t", "1")),
  t(put("t", "2", { prev_kv: true }), range("t"), del("none"), put("u", "1"), range("t..v")),
  t(del("none"), range("t"), del("u", { prev_kv: true }), range("t..v")),
  t(range("t", { revision: "2" }), put("u", "2"), range("t..v", { revision: "20" })),
  t(put("w", "1"), range("t", { revision: "100000" })),
  range("w"),
  // The revision that the transaction is about to make.
  t(put("w", "1"), range("w", { revision: "26" })),
  t(put("t", "1"), put("t", "2")),
  t(put("t", "1"), del("t")),
  t(del("t"), put("t", "1")),
  t(put("t", "1"), del("s..u")),
  t(put("t", "1"), del("u..x")),
  t(put("w2", "1"), del("w..")),
  t(put("w", "1"), del("w..")),
  t(del("t"), del("t")),
  t(put("t", "1"), del("s..v"), del("a..t")),
  t(put("", "1")),
  t(range("")),
  t(del("")),
  txn([compare("", "VERSION", "EQUAL")], []),
  t(put("t", "", { ignore_value: true }), put("nothing", "", { ignore_value: true })),
  t(put("t", "x", { ignore_value: true })),
  t(put("t", "x", { lease: "99" })),
  t(...Array.from({ length: 128 }, (_, index) => put(`many/${index}`, "x"))),
  t(...Array.from({ length: 129 }, (_, index) => put(`many/${index}`, "x"))),
  txn(
    Array.from({ length: 129 }, () => compare("t", "VERSION", "GREATER")),
    [],
  ),
  txn(
    [],
    [],
    Array.from({ length: 129 }, () => range("t")),
  ),
  t(
    txn(
      [],
      Array.from({ length: 127 }, () => range("none")),
    ),
  ),
  t(
    txn(
      [],
      Array.from({ length: 128 }, () => range("none")),
    ),
  ),
  t(del("many/..many0"), range("many/..many0", { count_only: true })),
  { name: "an operation that is none", call: "Txn", request: { success: [{}] } },
]);

/** Both branches write and read, so the answer says which one ran and when. */
const branches = [
  [put("branch", "then"), range("branch")],
  [put("branch", "otherwise"), range("branch")],
] as const;
const given = (...compares: Parameters<typeof txn>[0]) => txn(compares, ...branches);

const relations = ["EQUAL", "NOT_EQUAL", "LESS", "GREATER"] as const;

/** `c` is at version 2, create 30, mod 31; revisions differ from the real ones, and both sides have the same. */
const compares = part("compare", [
  put("c", "m"),
  put("c", "m"),
  ...relations.flatMap((result) => [
    given(compare("c", "VERSION", result, { version: "2" })),
    given(compare("c", "CREATE", result, { create_revision: "30" })),
    given(compare("c", "MOD", result, { mod_revision: "31" })),
    given(compare("c", "VALUE", result, { value: Buffer.from("m") })),
    given(compare("c", "LEASE", result, { lease: "0" })),
    given(compare("missing", "VERSION", result, { version: "0" })),
    given(compare("missing", "VALUE", result, { value: Buffer.from("") })),
    given(compare("missing", "LEASE", result, { lease: "0" })),
    given(compare("c..d", "VALUE", result, { value: Buffer.from("m") })),
  ]),
  given(compare("c", "VERSION", "EQUAL")),
  given(compare("c", "VALUE", "EQUAL")),
  // The value stands in a field that does not belong to the target.
  given(compare("c", "VERSION", "GREATER", { mod_revision: "99999" })),
  given(compare("a..z", "VERSION", "GREATER", { version: "0" })),
  given(compare("..", "CREATE", "GREATER", { create_revision: "0" })),
  given(compare("no..nothing", "CREATE", "EQUAL", { create_revision: "0" })),
  given(compare("no..nothing", "VALUE", "NOT_EQUAL", { value: Buffer.from("x") })),
  given(compare("c", "VERSION", "GREATER", { version: "0" }), compare("c", "VERSION", "LESS", { version: "1" })),
]);

const nested = part("nested", [
  t(txn([], [put("n/1", "1")]), put("n/2", "2"), range("n/..n0")),
  t(
    put("n/1", "x"),
    txn([compare("n/1", "VALUE", "EQUAL", { value: Buffer.from("x") })], [put("n/3", "seen")], [put("n/4", "not")]),
  ),
  range("n/..n0"),
  t(txn([], [range("n/1")], []), range("n/2")),
  t(txn([compare("n/1", "VERSION", "GREATER")], [put("n/5", "1")], [put("n/5", "2")])),
  t(put("n/5", "1"), txn([], [put("n/5", "2")])),
  t(put("n/5", "1"), txn([], [], [put("n/5", "2")])),
  t(txn([], [put("n/5", "1")]), txn([], [put("n/5", "2")])),
  t(del("n/..n0"), txn([], [put("n/5", "2")])),
  t(txn([], [del("n/..n0")]), put("n/5", "2")),
  t(txn([], [del("n/5")]), txn([], [del("n/1..n/3")])),
  t(txn([], [txn([], [put("n/6", "deep"), range("n/6")])]), del("n/6")),
  t(txn([], [txn([], [put("n/7", "deep"), range("n/7")])])),
  t(txn([], [txn([], [])]), txn([], [])),
  t(txn([], [put("n/8", "x", { lease: "4711" })])),
]);

const limits = part("limits", [
  put("large", "x".repeat(1024 * 1024)),
  put("large", "x".repeat(1572864)),
  put("large", "x".repeat(1600000)),
  t(put("large/1", "x".repeat(900000)), put("large/2", "x".repeat(900000))),
  { ...range("large"), name: "one mebibyte comes back" },
]);

const compactions = part("compact", [
  compact(0),
  compact(-1),
  compact(100000),
  compact(20),
  compact(20),
  compact(19),
  compact(0),
  range("a", { revision: "19" }),
  range("a", { revision: "20" }),
  range("a", { revision: "21" }),
  range("d/..d0", { revision: "20" }),
  t(range("a", { revision: "5" })),
  t(put("a", "x"), range("a", { revision: "19" })),
  range("a"),
]);

export const kvScript: readonly Step[] = [
  ...puts,
  ...ranges,
  ...deletes,
  ...transactions,
  ...compares,
  ...nested,
  ...limits,
  ...compactions,
];
