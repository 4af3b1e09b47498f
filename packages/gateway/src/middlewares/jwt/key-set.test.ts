import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { SignJWT } from "jose";
import { createTestChain, FakeClock } from "../../testing.ts";
import jwt from "./index.ts";

const url = "https://id.example.com/jwks";
const one = generateKeyPairSync("ec", { namedCurve: "P-256" });
const two = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwkOf = (pair: typeof one, kid?: string, more: object = {}) => ({
  ...pair.publicKey.export({ format: "jwk" }),
  kid,
  ...more,
});

let issued = 0; // each token another, so that none is known from before

async function token(pair: typeof one, kid?: string) {
  const header = kid === undefined ? { alg: "ES256" } : { alg: "ES256", kid };
  return new SignJWT({ jti: String(issued++) }).setProtectedHeader(header).sign(pair.privateKey);
}

/** A gateway with `jwt` on a key set that the test scripts. */
function open(first: unknown, clock = new FakeClock()) {
  const state = { answer: first, fetches: 0 };
  const fetchJson = (asked: string) => {
    assert.equal(asked, url);
    state.fetches++;
    return state.answer instanceof Error ? Promise.reject(state.answer) : Promise.resolve(state.answer);
  };
  const chain = createTestChain([[jwt, { jwks: url }]], { clock, fetchJson });
  const status = async (sent: string) => {
    const run = await chain.run({ headers: { authorization: `Bearer ${sent}` } });
    return run.response.status;
  };
  return { state, clock, chain, status };
}

test("fetches once for all who wait, and keeps the keys", async () => {
  const { state, status } = open({ keys: [jwkOf(one, "1")] });
  const tokens = await Promise.all([token(one, "1"), token(one, "1"), token(two, "1")]);
  assert.deepEqual(await Promise.all(tokens.map(status)), [200, 200, 401]);
  assert.equal(state.fetches, 1);
});

test("an unknown key id fetches again, at most every 30 s", async () => {
  const { state, clock, status } = open({ keys: [jwkOf(one, "1")] });
  assert.equal(await status(await token(one, "1")), 200);
  state.answer = { keys: [jwkOf(one, "1"), jwkOf(two, "2")] };
  for (let i = 0; i < 5; i++) assert.equal(await status(await token(two, "2")), 401);
  assert.equal(state.fetches, 1);
  clock.advance(30_000);
  assert.equal(await status(await token(two, "2")), 200);
  assert.equal(state.fetches, 2);
});

test("refreshes in the background before the keys are old, and withdraws a key that is gone", async () => {
  const { state, clock, status } = open({ keys: [jwkOf(one, "1")] });
  assert.equal(await status(await token(one, "1")), 200);
  state.answer = { keys: [jwkOf(two, "2")] };
  clock.advance(8 * 60_000);
  assert.equal(await status(await token(one, "1")), 200);
  assert.equal(state.fetches, 2);
  assert.equal(await status(await token(two, "2")), 200);
  assert.equal(await status(await token(one, "1")), 401);
});

test("uses stale keys while the fetch fails, for a day", async () => {
  const { state, clock, status } = open({ keys: [jwkOf(one, "1")] });
  assert.equal(await status(await token(one, "1")), 200);
  state.answer = new Error("down");
  clock.advance(11 * 60_000);
  for (let i = 0; i < 3; i++) assert.equal(await status(await token(one, "1")), 200);
  assert.equal(state.fetches, 2, "failures are not repeated at once");
  clock.advance(24 * 3_600_000);
  assert.equal(await status(await token(one, "1")), 502);
});

for (const [name, answer] of [
  ["cannot be fetched", new Error("down")],
  ["is no key set", ["keys"]],
  ["holds no usable key", { keys: [{ kty: "oct", k: "AAAA", kid: "1" }] }],
] as const) {
  test(`nobody gets in while the first key set ${name}, and it is tried again a second later`, async () => {
    const { state, clock, chain, status } = open(answer);
    const good = await token(one, "1");
    const run = await chain.run({ headers: { authorization: `Bearer ${good}` } });
    assert.equal(run.error?.code, "HG_UPSTREAM_CONNECT");
    assert.equal(run.response.headers.get("retry-after"), "5");
    assert.equal(await status(good), 502);
    assert.equal(state.fetches, 1);
    state.answer = { keys: [jwkOf(one, "1")] };
    clock.advance(1000);
    assert.equal(await status(good), 200);
  });
}

test("a refresh that brings no usable key keeps the old ones", async () => {
  const { state, clock, status } = open({ keys: [jwkOf(one, "1")] });
  assert.equal(await status(await token(one, "1")), 200);
  state.answer = { keys: [] };
  clock.advance(11 * 60_000);
  assert.equal(await status(await token(one, "1")), 200);
});

for (const [name, keys, kid, expected] of [
  ["no key id, one key", [jwkOf(one, "1")], undefined, 200],
  ["no key id, several keys", [jwkOf(one, "1"), jwkOf(two, "2")], undefined, 401],
  ["a key id, of several", [jwkOf(two, "1"), jwkOf(one, "2")], "2", 200],
  ["the id of another key", [jwkOf(two, "1"), jwkOf(one, "2")], "1", 401],
  ["a key for encryption", [jwkOf(one, "1", { use: "enc" }), jwkOf(two, "2")], "1", 401],
  ["a key that may not verify", [jwkOf(one, "1", { key_ops: ["sign"] }), jwkOf(two, "2")], "1", 401],
  ["a key for another algorithm", [jwkOf(one, "1", { alg: "ES384" }), jwkOf(two, "2")], "1", 401],
  [
    "broken keys beside it",
    [null, 1, {}, { kty: "EC", crv: "P-256" }, { kty: "RSA", n: "AQ", e: "AQ" }, jwkOf(one, "1")],
    "1",
    200,
  ],
  [
    "a hundred keys before it",
    [...Array.from({ length: 100 }, (_, i) => jwkOf(two, `x${i}`)), jwkOf(one, "1")],
    "1",
    401,
  ],
] as const) {
  test(`${name}: ${expected}`, async () => {
    const { status } = open({ keys });
    assert.equal(await status(await token(one, kid)), expected);
  });
}

test("a symmetric key of the set does not verify", async () => {
  const { chain } = open({
    keys: [{ kty: "oct", k: Buffer.from("x".repeat(32)).toString("base64url"), kid: "1" }, jwkOf(one, "2")],
  });
  const forged = await new SignJWT({})
    .setProtectedHeader({ alg: "HS256", kid: "1" })
    .sign(new TextEncoder().encode("x".repeat(32)));
  const run = await chain.run({ headers: { authorization: `Bearer ${forged}` } });
  assert.match(run.response.headers.get("www-authenticate") ?? "", /algorithm of the token is not allowed/);
});

test("a new snapshot goes on with the keys and verdicts of the old one", async () => {
  const clock = new FakeClock();
  const old = open({ keys: [jwkOf(one, "1")] }, clock);
  const good = await token(one, "1");
  const headers = { authorization: `Bearer ${good}` };
  const before = await old.chain.run({ headers });
  const next = open(new Error("down"), clock);
  old.chain.dispose();
  const after = await next.chain.run({ headers });
  assert.equal(after.exchange.user, before.exchange.user);
  assert.equal(await next.status(await token(one, "1")), 200);
  assert.equal(next.state.fetches, 0);
  next.chain.dispose();
  const last = open(new Error("down"), clock);
  assert.equal(await last.status(good), 502, "nothing is kept once nobody uses it");
});
