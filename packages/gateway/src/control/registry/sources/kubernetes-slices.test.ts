import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointInput, SliceInput } from "../../../../../../tests/kit/kubernetes.ts";
import { foundInSlices, sliceSchema, type Slice } from "./kubernetes-slices.ts";

const slice = (input: SliceInput): Slice =>
  sliceSchema.parse({
    ...{ addressType: "IPv4", ports: [{ name: "http", port: 80, protocol: "TCP" }], endpoints: [] },
    ...input,
    metadata: { name: "a", resourceVersion: "1" },
  });
const pod = (address: string, conditions?: EndpointInput["conditions"]): EndpointInput => ({
  addresses: [address],
  ...(conditions === undefined ? {} : { conditions }),
});
const shown = (slices: readonly Slice[], port?: number | string): string[] =>
  foundInSlices(slices, port).instances.map(({ address, status }) => `${address} ${status}`);

const ready = pod("10.0.0.9", { ready: true });
const states: [string, EndpointInput["conditions"], string][] = [
  ["nothing said", undefined, "UP"],
  ["nothing said of readiness", {}, "UP"],
  ["ready", { ready: true, serving: true, terminating: false }, "UP"],
  ["not ready", { ready: false, serving: false, terminating: false }, "DOWN"],
  ["ending and serving", { ready: false, serving: true, terminating: true }, "DRAINING"],
  ["ending", { ready: false, serving: false, terminating: true }, "DOWN"],
  ["ending, nothing said of readiness", { terminating: true }, "DOWN"],
  ["ready though it ends: the service publishes what is not ready", { ready: true, terminating: true }, "UP"],
];
for (const [what, conditions, status] of states) {
  test(`an endpoint with ${what} is ${status}`, () => {
    assert.deepEqual(shown([slice({ endpoints: [pod("10.0.0.1", conditions), ready] })]), [
      `10.0.0.1:80 ${status}`,
      "10.0.0.9:80 UP",
    ]);
  });
}

test("while none is ready those that serve while they end are used", () => {
  const ending = pod("10.0.0.1", { ready: false, serving: true, terminating: true });
  const down = pod("10.0.0.2", { ready: false, serving: false });
  assert.deepEqual(shown([slice({ endpoints: [ending, down] })]), ["10.0.0.1:80 UP", "10.0.0.2:80 DOWN"]);
});

const ports = [
  { name: "metrics", port: 9100, protocol: "TCP" },
  { name: "http", port: 8080 },
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "any", protocol: "TCP" },
];
for (const [port, address] of [
  ["http", "10.0.0.9:8080"],
  [9100, "10.0.0.9:9100"],
] as const) {
  test(`port ${port} of a slice with several`, () => {
    assert.deepEqual(shown([slice({ ports, endpoints: [ready] })], port), [`${address} UP`]);
  });
}

for (const [port, remark] of [
  [undefined, "it has not one TCP port but metrics (9100), http (8080): name the one to use"],
  ["dns", "it has no TCP port dns; there is: metrics (9100), http (8080)"],
  [80, "it has no TCP port 80; there is: metrics (9100), http (8080)"],
] as const) {
  test(`port ${port ?? "of no name"} that a slice has not, or not alone, is told of`, () => {
    assert.deepEqual(foundInSlices([slice({ ports, endpoints: [ready] })], port), { instances: [], remark });
  });
}

test("each slice has ports of its own: pods of two versions may listen on different ones", () => {
  const slices = [
    slice({ ports: [{ name: "http", port: 80 }], endpoints: [pod("10.0.0.1")] }),
    slice({ ports: [{ name: "http", port: 8080 }], endpoints: [pod("10.0.0.2")] }),
  ];
  assert.deepEqual(shown(slices, "http"), ["10.0.0.1:80 UP", "10.0.0.2:8080 UP"]);
});

test("of a service with both families the IPv4 addresses are used, of one with IPv6 alone those", () => {
  const six = slice({ addressType: "IPv6", endpoints: [pod("fd00::1")] });
  const four = slice({ endpoints: [pod("10.0.0.1")] });
  assert.deepEqual(shown([six, four]), ["10.0.0.1:80 UP"]);
  assert.deepEqual(shown([six, slice({ endpoints: [] })]), ["[fd00::1]:80 UP"]);
  assert.deepEqual(shown([slice({ addressType: "FQDN", endpoints: [pod("a.b")] })]), []);
});

test("an empty slice has no say about ports", () => {
  assert.deepEqual(foundInSlices([slice({ ports: null, endpoints: null })], "http"), { instances: [] });
});
