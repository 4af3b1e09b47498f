import type { BalanceSettings } from "@headgate/schema";
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import { contextOf, FakeInstance, instancesOf } from "./balancer.fixtures.ts";
import { createBalancer, type BalancerOptions } from "./balancer.ts";
import { instanceId, stickyCookie } from "./sticky.ts";

const settings: Extract<BalanceSettings, { policy: "sticky" }> = {
  policy: "sticky",
  cookie: "hg",
  path: "/",
  secure: false,
};

function stickyOver(instances: readonly FakeInstance[], options: Partial<BalancerOptions> = {}) {
  const defaults = { random: seededRandom(1), preferZone: true, panicThreshold: 0, stickyKey: "key" };
  return createBalancer(settings, instances, { ...defaults, ...options });
}

const idOf = (instance: FakeInstance | undefined): string => instanceId(instance?.address ?? "", "key");

test("an id tells no address, is the same for the same key, and another for another key or address", () => {
  const id = instanceId("10.0.0.1:8080", "key");
  assert.match(id, /^[\w-]{16}$/);
  assert.equal(instanceId("10.0.0.1:8080", "key"), id);
  assert.notEqual(instanceId("10.0.0.1:8080", "other"), id);
  assert.notEqual(instanceId("10.0.0.2:8080", "key"), id);
});

test("the cookie says what the settings say", () => {
  assert.equal(stickyCookie(settings, "abc"), "hg=abc; Path=/; HttpOnly; SameSite=Lax");
  assert.equal(
    stickyCookie({ ...settings, cookie: "s", path: "/shop", secure: true, ttlMs: 3_600_500 }, "abc"),
    "s=abc; Path=/shop; Max-Age=3601; HttpOnly; SameSite=Lax; Secure",
  );
});

test("a client goes where its cookie says, however busy or slow that is", () => {
  const instances = instancesOf([1, 1, 1]);
  const balancer = stickyOver(instances);
  for (const instance of instances) {
    instance.busy(50);
    for (let i = 0; i < 20; i++) assert.equal(balancer.pick(contextOf({ key: idOf(instance) })), instance);
    for (let i = 0; i < 50; i++) instance.load.end(false);
  }
});

test("without a cookie, and with one that names none, the answer sets one; with the right one it does not", () => {
  const instances = instancesOf([1, 1, 1]);
  const balancer = stickyOver(instances);
  for (const key of [undefined, "", "nonsense", instanceId("10.9.9.9:1", "key"), instances[0]?.address]) {
    const picked = balancer.pick(contextOf({ key }));
    assert.ok(picked !== undefined);
    assert.equal(balancer.cookieFor?.(picked, key), `hg=${idOf(picked)}; Path=/; HttpOnly; SameSite=Lax`);
    assert.equal(balancer.cookieFor?.(picked, idOf(picked)), undefined);
  }
});

test("new clients are spread over all instances", () => {
  const instances = instancesOf([1, 1, 1]);
  const balancer = stickyOver(instances);
  const picked = new Set(Array.from({ length: 100 }, () => balancer.pick(contextOf())));
  assert.equal(picked.size, 3);
});

test("a client whose instance is unavailable, tried, of no weight or gone goes elsewhere and gets that one's cookie", () => {
  const changes: ((instance: FakeInstance) => ReadonlySet<unknown> | undefined)[] = [
    (instance) => void (instance.up = false),
    (instance) => void (instance.weight = 0),
    (instance) => new Set([instance]),
  ];
  for (const change of changes) {
    const instances = instancesOf([1, 1, 1]);
    const balancer = stickyOver(instances);
    const [pinned] = instances;
    assert.ok(pinned !== undefined);
    const excluded = change(pinned);
    const picked = balancer.pick(contextOf({ key: idOf(pinned), excluded }));
    assert.ok(picked !== undefined && picked !== pinned);
    assert.equal(balancer.cookieFor?.(picked, idOf(pinned)), `hg=${idOf(picked)}; Path=/; HttpOnly; SameSite=Lax`);
  }
});

test("in panic a client stays where it was", () => {
  const instances = instancesOf([1, 1, 1]);
  for (const instance of instances.slice(0, 2)) instance.up = false;
  const [pinned] = instances;
  assert.notEqual(stickyOver(instances).pick(contextOf({ key: idOf(pinned) })), pinned);
  assert.equal(stickyOver(instances, { panicThreshold: 0.5 }).pick(contextOf({ key: idOf(pinned) })), pinned);
});

test("new clients are in the gateway's zone, those of another zone stay there", () => {
  const near = new FakeInstance("near:1", 1, "a");
  const far = new FakeInstance("far:1", 1, "b");
  const balancer = stickyOver([near, far], { zone: "a" });
  for (let i = 0; i < 20; i++) {
    assert.equal(balancer.pick(contextOf()), near);
    assert.equal(balancer.pick(contextOf({ key: idOf(far) })), far);
  }
  far.up = false;
  assert.equal(balancer.pick(contextOf({ key: idOf(far) })), near);
});
