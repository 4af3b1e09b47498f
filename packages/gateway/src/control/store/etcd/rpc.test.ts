import assert from "node:assert/strict";
import { test } from "node:test";
import { loadRpc } from "./rpc.ts";

const rpc = loadRpc();

test("integers of 64 bits stay exact", () => {
  const { LeaseGrant } = rpc.Lease;
  for (const id of ["9223372036854775807", "-9223372036854775808", "9007199254740993", "0"]) {
    assert.equal(LeaseGrant.requestDeserialize(LeaseGrant.requestSerialize({ ID: id })).ID, id);
  }
  const { MemberPromote } = rpc.Cluster;
  const unsigned = "18446744073709551615";
  assert.equal(MemberPromote.requestDeserialize(MemberPromote.requestSerialize({ ID: unsigned })).ID, unsigned);
});

test("what was not sent is delivered with its default, and of a oneof only what was sent", () => {
  const empty = Buffer.alloc(0);
  assert.deepEqual(rpc.KV.Range.responseDeserialize(empty), { header: null, kvs: [], more: false, count: "0" });
  assert.deepEqual(rpc.KV.DeleteRange.requestDeserialize(empty), { key: empty, range_end: empty, prev_kv: false });
  assert.deepEqual(rpc.Watch.Watch.requestDeserialize(rpc.Watch.Watch.requestSerialize({ progress_request: {} })), {
    progress_request: {},
    request_union: "progress_request",
  });
});

test("the bytes are etcd's", () => {
  // Field numbers as in etcd's rpc.proto: key 1, range_end 2, revision 4, sort_order 5; events 11 of a response.
  const range = { key: Buffer.from("a"), range_end: Buffer.from("b"), revision: "300", sort_order: "DESCEND" } as const;
  assert.equal(rpc.KV.Range.requestSerialize(range).toString("hex"), "0a016112016220ac022802");
  const told = rpc.Watch.Watch.responseDeserialize(
    Buffer.from("0a0410011805" + "1001" + "5a09080112050a016b1807", "hex"),
  );
  assert.deepEqual([told.header?.revision, told.watch_id, told.events.length], ["5", "1", 1]);
  const [event] = told.events;
  assert.deepEqual([event?.type, event?.kv?.key.toString(), event?.kv?.mod_revision], ["DELETE", "k", "7"]);
});

test("every method has the name that it has on the wire", () => {
  assert.equal(rpc.KV.Txn.path, "/etcdserverpb.KV/Txn");
  assert.deepEqual(
    Object.entries(rpc).map(([name, methods]) => [name, Object.keys(methods).length]),
    [["KV", 5], ["Watch", 1], ["Lease", 5], ["Cluster", 5], ["Maintenance", 7], ["Auth", 17]], // prettier-ignore
  );
  for (const [name, methods] of Object.entries(rpc)) {
    for (const [method, { path }] of Object.entries(methods as Record<string, { readonly path: string }>)) {
      assert.equal(path, `/etcdserverpb.${name}/${method}`);
    }
  }
});
