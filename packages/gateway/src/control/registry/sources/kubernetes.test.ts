import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { KubernetesSettings } from "@headgate/schema";
import { kubernetesApi, type SliceInput } from "../../../../../../tests/kit/kubernetes.ts";
import { Followed } from "../source.fixtures.ts";
import { sourceSuite } from "../source.suite.ts";
import { clusterOf, kubernetesSource } from "./kubernetes.ts";

const nowhere = { directory: "/nonexistent" };
const pods = (...addresses: string[]): SliceInput => ({ endpoints: addresses.map((one) => ({ addresses: [one] })) });

sourceSuite("kubernetes", async (t) => {
  const api = await kubernetesApi(t);
  return {
    open: (parts) => kubernetesSource({ service: "users", url: api.url }, parts, nowhere),
    set: (addresses) => api.put("users-1", pods(...addresses.map((one) => one.slice(0, -3)))),
    fail: (failure) => api.fail(failure),
    requests: () => api.requests.length + api.sent,
  };
});

async function open(
  t: TestContext,
  slices: Readonly<Record<string, SliceInput>>,
  settings: Partial<KubernetesSettings> = {},
) {
  const api = await kubernetesApi(t);
  for (const [name, slice] of Object.entries(slices)) api.put(name, slice);
  const all = { service: "users", namespace: "shop", url: api.url, ...settings };
  const followed = new Followed(t, (parts) => kubernetesSource(all, parts, nowhere));
  followed.follower.start();
  const watching = (): Promise<void> => followed.until(() => api.watching === 1, "a watch");
  return { api, followed, watching };
}

test("what is asked for: a list, then a watch from its revision, with bookmarks and an end", async (t) => {
  const { api, watching } = await open(t, { a: pods("10.0.0.1") }, { token: "hush" });
  await watching();
  const [list, watch] = api.requests;
  assert.equal(list?.path, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices");
  assert.deepEqual(Object.fromEntries(list.query), { labelSelector: "kubernetes.io/service-name=users" });
  const { timeoutSeconds, ...query } = Object.fromEntries(watch?.query ?? []);
  assert.deepEqual(query, {
    labelSelector: "kubernetes.io/service-name=users",
    ...{ watch: "1", allowWatchBookmarks: "true", resourceVersion: "101" },
  });
  assert.ok(Number(timeoutSeconds) >= 300 && Number(timeoutSeconds) <= 600);
  assert.deepEqual([list.headers.authorization, watch?.headers.authorization], ["Bearer hush", "Bearer hush"]);
});

test("all slices of a service together are its instances; one in two slices is one", async (t) => {
  const { api, followed, watching } = await open(t, { a: pods("10.0.0.1", "10.0.0.2"), b: pods("10.0.0.3") });
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  await watching();
  // It moves: in both for a while, ready in one of them.
  api.put("b", {
    endpoints: [{ addresses: ["10.0.0.2"], conditions: { ready: false } }, { addresses: ["10.0.0.3"] }],
  });
  api.put("b", pods("10.0.0.2", "10.0.0.3"));
  api.put("a", pods("10.0.0.1"));
  api.put("c", pods("10.0.0.4"));
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80");
  api.delete("c");
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  assert.equal(followed.told.length, 3);
});

test("one that ends drains before it goes; zones are those of the endpoints", async (t) => {
  const { api, followed, watching } = await open(t, {
    a: { endpoints: [{ addresses: ["10.0.0.1"], zone: "z1" }, { addresses: ["10.0.0.2"] }] },
  });
  await followed.untilShown("10.0.0.1:80 @z1", "10.0.0.2:80");
  await watching();
  const ending = { ready: false, serving: true, terminating: true };
  api.put("a", {
    endpoints: [
      { addresses: ["10.0.0.1"], zone: "z1" },
      { addresses: ["10.0.0.2"], conditions: ending },
    ],
  });
  await followed.untilShown("10.0.0.1:80 @z1", "10.0.0.2:80 DRAINING");
});

test("a watch that ends goes on at the last event, and nothing in between is missed", async (t) => {
  const { api, followed, watching } = await open(t, { a: pods("10.0.0.1") });
  await watching();
  api.put("a", pods("10.0.0.1", "10.0.0.2"));
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
  api.endWatches();
  await followed.until(() => api.watching === 0, "the end of the watch");
  api.put("a", pods("10.0.0.1", "10.0.0.2", "10.0.0.3"));
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  assert.deepEqual(
    api.requests.map(({ query }) => query.get("resourceVersion")),
    [null, "101", "102"],
  );
});

test("a watch that breaks in the middle of an event goes on before that event", async (t) => {
  const { api, followed, watching } = await open(t, { a: pods("10.0.0.1") });
  await watching();
  api.put("a", pods("10.0.0.1", "10.0.0.2"));
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
  api.fail("half");
  await followed.until(() => api.watching === 0, "the watch to break");
  api.fail(undefined);
  api.put("a", pods("10.0.0.2"));
  await followed.untilShown("10.0.0.2:80");
  assert.equal(followed.follower.failing, false);
  assert.equal(api.requests.at(-1)?.query.get("resourceVersion"), "102");
});

test("bookmarks keep the revision young: a watch after them is not refused", async (t) => {
  const { api, followed, watching } = await open(t, { a: pods("10.0.0.1") });
  await watching();
  api.bookmark();
  await followed.pass(100);
  api.forget();
  api.endWatches();
  await followed.until(() => api.requests.length === 3, "the next watch");
  assert.equal(api.requests[2]?.query.get("resourceVersion"), "1101");
  await watching();
  assert.deepEqual(followed.told, [["10.0.0.1:80"]]);
});

for (const expiredAs of ["status", "event"] as const) {
  test(`a revision that the server has forgotten (told by ${expiredAs}) is listed anew, and what differs is told`, async (t) => {
    const { api, followed, watching } = await open(t, { a: pods("10.0.0.1", "10.0.0.2"), b: pods("10.0.0.3") });
    await watching();
    api.expiredAs = expiredAs;
    api.endWatches();
    await followed.until(() => api.watching === 0, "the end of the watch");
    api.delete("b");
    api.put("c", pods("10.0.0.4"));
    api.forget();
    await followed.untilShown("10.0.0.1:80", "10.0.0.2:80", "10.0.0.4:80");
    assert.equal(followed.follower.failing, false);
    assert.equal(followed.told.length, 2);
  });
}

test("a watch on which nothing comes is opened again, without a list or a problem", async (t) => {
  const { api, followed, watching } = await open(t, { a: pods("10.0.0.1") });
  await watching();
  await followed.pass(400_000);
  const lists = api.requests.filter(({ query }) => !query.has("watch")).length;
  const watches = api.requests.length - lists;
  assert.deepEqual([lists, watches >= 3 && watches <= 4, followed.follower.problem], [1, true, undefined]);
});

test("a server that ends each watch at once is told of, and asked ever more seldom", async (t) => {
  const { api, followed, watching } = await open(t, { a: pods("10.0.0.1") });
  await watching();
  for (let i = 0; i < 200 && !followed.follower.failing; i++) {
    api.endWatches();
    await followed.pass(100);
  }
  assert.match(followed.follower.problem ?? "", /ends each watch at once$/);
});

test("events that come byte by byte are events", async (t) => {
  const { api, followed, watching } = await open(t, { a: pods("10.0.0.1") });
  await watching();
  api.fail("slow");
  api.put("a", pods("10.0.0.1", "10.0.0.2"));
  await followed.untilShown("10.0.0.1:80", "10.0.0.2:80");
});

test("the account of the pod is read anew for each question, and goes to its own API server", async (t) => {
  const api = await kubernetesApi(t);
  api.put("a", pods("10.0.0.1"));
  const directory = mkdtempSync(join(tmpdir(), "headgate-test-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  write("token", "one\n");
  write("ca.crt", "pem");
  write("namespace", "own");
  const followed = new Followed(t, (parts) =>
    kubernetesSource({ service: "users" }, parts, { url: api.url, directory }),
  );
  followed.follower.start();
  await followed.until(() => api.watching === 1, "a watch");
  write("token", "two");
  api.bookmark();
  await followed.pass(100);
  api.endWatches();
  await followed.until(() => api.requests.length === 3, "the next watch");
  assert.equal(api.requests[0]?.path, "/apis/discovery.k8s.io/v1/namespaces/own/endpointslices");
  assert.deepEqual(
    api.requests.map(({ headers }) => headers.authorization),
    ["Bearer one", "Bearer one", "Bearer two"],
  );
  // To another place, which whoever writes services may name, it does not go.
  const other = new Followed(t, (parts) =>
    kubernetesSource({ service: "users", url: api.url }, parts, { url: "http://127.0.0.1:1", directory }),
  );
  other.follower.start();
  await other.until(() => api.requests.length === 4, "a list");
  assert.equal(api.requests[3]?.headers.authorization, undefined);
});

test("outside of a cluster a url must be named, and that is told", async (t) => {
  const followed = new Followed(t, (parts) => kubernetesSource({ service: "users" }, parts, clusterOf({})));
  followed.follower.start();
  await followed.untilProblem(/^the gateway does not run in a cluster/);
});

test("a pod finds its API server in its variables", () => {
  const { url } = clusterOf({ KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "6443" });
  assert.equal(url, "https://10.96.0.1:6443");
  assert.equal(clusterOf({ KUBERNETES_SERVICE_HOST: "fd00::1" }).url, "https://[fd00::1]:443");
  assert.equal(clusterOf({}).url, undefined);
});

test("a refusal is told with the server's reason", async (t) => {
  const { followed } = await open(t, {}, { url: "http://127.0.0.1:1" });
  await followed.untilProblem(/^http:\/\/127\.0\.0\.1:1\/apis\/.*: connect ECONNREFUSED 127\.0\.0\.1:1$/);
});
