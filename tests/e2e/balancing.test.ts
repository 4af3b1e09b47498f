import type { BalanceSettings } from "@headgate/schema";
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { instanceId } from "../../packages/gateway/src/proxy/upstream/balancer/sticky.ts";
import { RawClient, requestText, type RequestInit } from "../kit/client.ts";
import { startProxy, type ProxyInit } from "../kit/proxy.ts";
import { scriptedUpstream } from "../kit/upstream.ts";
import type { WireResponse } from "../kit/wire.ts";

type Ask = ((target?: string, init?: RequestInit) => Promise<WireResponse>) & {
  readonly instances: readonly string[];
};

/** Five instances that answer with their place, those of odd places in zone `b`, and how to ask them. */
async function five(
  t: TestContext,
  balance: BalanceSettings,
  more: Partial<ProxyInit> = {},
  preferZone = true,
): Promise<Ask> {
  const upstreams = [0, 1, 2, 3, 4].map((place) =>
    scriptedUpstream(t, async (connection) => {
      for (;;) {
        await connection.request();
        connection.ok(String(place));
      }
    }),
  );
  const instances = (await Promise.all(upstreams)).map(({ address }) => address);
  const placed = instances.map((address, place) => ({ address, weight: 1, zone: place % 2 === 0 ? "a" : "b" }));
  const service = { balance, instances: placed, ...(preferZone ? {} : { preferZone }) };
  const proxy = await startProxy(t, { instances, service, ...more });
  const client = await RawClient.connect(t, proxy.port);
  const ask = (target = "/", init: RequestInit = {}): Promise<WireResponse> => {
    client.send(requestText(target, init));
    return client.response();
  };
  return Object.assign(ask, { instances });
}

const hash = (key: Extract<BalanceSettings, { policy: "hash" }>["key"]): BalanceSettings => ({ policy: "hash", key });

const places: readonly [string, BalanceSettings, (text: string) => [string, RequestInit?], Partial<ProxyInit>?][] = [
  ["a header", hash({ from: "header", name: "x-user" }), (text) => ["/", { headers: { "X-User": text } }]],
  ["a cookie", hash({ from: "cookie", name: "id" }), (text) => ["/", { headers: { cookie: `a=1; id=${text}; b=2` } }]],
  ["a parameter of the query", hash({ from: "query", name: "u" }), (text) => [`/x?a=1&u=${text}`]],
  [
    "a parameter of the path",
    hash({ from: "param", name: "user" }),
    (text) => [`/users/${text}`],
    { route: { match: [{ path: "/users/:user" }] } },
  ],
  [
    "the client's address",
    hash({ from: "client" }),
    (text) => ["/", { headers: { "x-forwarded-for": `10.0.0.${text.slice(1)}` } }],
    { trustedProxies: ["127.0.0.0/8"] },
  ],
];

for (const [name, balance, request, more] of places) {
  test(`hashing by ${name}: a text stays at its instance, and texts are at all of them`, async (t) => {
    const ask = await five(t, balance, more);
    const texts = Array.from({ length: 60 }, (_, i) => `u${i}`);
    const round = async (): Promise<string[]> => {
      const answers: string[] = [];
      for (const text of texts) answers.push((await ask(...request(text))).text);
      return answers;
    };
    const first = await round();
    assert.deepEqual(new Set(first), new Set(["0", "1", "2", "3", "4"]));
    assert.deepEqual(await round(), first);
  });
}

test("a sticky cookie is set once, leads to its instance, and is replaced when it names none", async (t) => {
  const ask = await five(t, { policy: "sticky", cookie: "hg", path: "/", secure: false });
  const first = await ask("/", { headers: { cookie: "hg=AAAAAAAAAAAAAAAA" } });
  assert.match(first.get("set-cookie") ?? "", /^hg=[\w-]{16}; Path=\/; HttpOnly; SameSite=Lax$/);
  // Every gateway makes the same ids: of the address, with the service's name for the key.
  const cookies = ask.instances.map((address) => `hg=${instanceId(address, "s")}`);
  assert.ok(cookies.includes((first.get("set-cookie") ?? "").split(";")[0] ?? ""));
  for (const [place, cookie] of cookies.entries()) {
    for (let i = 0; i < 3; i++) {
      const answer = await ask("/", { headers: { cookie: `a=b; ${cookie}` } });
      assert.equal(answer.text, String(place));
      assert.equal(answer.get("set-cookie"), undefined);
    }
  }
});

test("a gateway uses the instances of its zone, unless its service says otherwise", async (t) => {
  for (const [preferZone, expected] of [
    [true, ["1", "3"]],
    [false, ["0", "1", "2", "3", "4"]],
  ] as const) {
    const ask = await five(t, { policy: "round-robin" }, { zone: "b" }, preferZone);
    const used = new Set<string>();
    for (let i = 0; i < 10; i++) used.add((await ask()).text);
    assert.deepEqual([...used].sort(), expected);
  }
});
