import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { SignJWT, type JWTPayload } from "jose";
import { secretTest } from "../../core/secrets.ts";
import { createTestChain, FakeClock, runMiddleware, type TestOptions, type TestRun } from "../../testing.ts";
import jwt from "./index.ts";

const secret = "a secret of at least thirty-two bytes";
const nowSeconds = Date.UTC(2026, 0, 1) / 1000; // where a FakeClock starts
const valid = { sub: "alice", exp: nowSeconds + 600 };

function sign(payload: JWTPayload, key: KeyObject | string = secret, header: { alg?: string; kid?: string } = {}) {
  const bytes = typeof key === "string" ? new TextEncoder().encode(key) : key;
  return new SignJWT(payload).setProtectedHeader({ alg: "HS256", ...header }).sign(bytes);
}

/** A token put together by hand, for what a library refuses to sign. */
function forge(header: object, payload: object, key: string | Buffer = secret): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
}

function bearer(token: string) {
  return { headers: { authorization: `Bearer ${token}` } };
}

function pem(key: KeyObject): string {
  return key.export({ type: "spki", format: "pem" }).toString();
}

function challengeOf(run: TestRun): string {
  assert.equal(run.response.status, 401);
  assert.equal(run.error?.code, "HG_UNAUTHENTICATED");
  assert.equal(run.nextCalls, 0);
  return run.response.headers.get("www-authenticate") ?? "";
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" });
const edwards = generateKeyPairSync("ed25519");

test("a good token lets the request in, with its claims and its consumer", async () => {
  const options: TestOptions = { consumers: { ann: { groups: ["gold"], jwt: { subject: "alice" } } } };
  const run = await runMiddleware(jwt, { secret }, bearer(await sign({ ...valid, role: "admin" })), options);
  assert.equal(run.response.status, 200);
  assert.deepEqual(run.exchange.user, { ...valid, role: "admin" });
  assert.deepEqual(run.exchange.consumer, { name: "ann", groups: ["gold"] });
});

for (const [alg, pair] of [
  ["RS256", rsa],
  ["RS384", rsa],
  ["RS512", rsa],
  ["PS256", rsa],
  ["PS384", rsa],
  ["PS512", rsa],
  ["ES256", p256],
  ["ES384", p384],
  ["ES512", p521],
  ["EdDSA", edwards],
  ["Ed25519", edwards],
] as const) {
  test(`verifies ${alg}, and refuses it with another key or a changed byte`, async () => {
    const token = await sign(valid, pair.privateKey, { alg });
    const settings = { publicKey: pem(pair.publicKey), algorithms: [alg] };
    assert.equal((await runMiddleware(jwt, settings, bearer(token))).response.status, 200);
    const dot = token.lastIndexOf(".") + 5;
    const changed = token.slice(0, dot) + (token[dot] === "A" ? "B" : "A") + token.slice(dot + 1);
    assert.match(challengeOf(await runMiddleware(jwt, settings, bearer(changed))), /signature is not valid/);
  });
}

for (const alg of ["HS256", "HS384", "HS512"]) {
  test(`verifies ${alg}, and refuses it with another secret`, async () => {
    const long = secret.repeat(2);
    const token = await sign(valid, long, { alg });
    assert.equal((await runMiddleware(jwt, { secret: long }, bearer(token))).response.status, 200);
    assert.match(
      challengeOf(await runMiddleware(jwt, { secret: `${long}x` }, bearer(token))),
      /signature is not valid/,
    );
  });
}

test("verifies the example of RFC 7515 A.3", async () => {
  const x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
  const y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
  const key = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
  const token =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  const settings = { publicKey: pem(key), issuer: "joe" };
  const then = new FakeClock(1000, 1_300_819_379_000);
  assert.equal((await runMiddleware(jwt, settings, bearer(token), { clock: then })).response.status, 200);
  assert.match(challengeOf(await runMiddleware(jwt, settings, bearer(token))), /expired/);
});

for (const [name, payload, settings, refusal] of [
  ["expired", { exp: nowSeconds }, {}, /expired/],
  ["expired within the leeway", { exp: nowSeconds - 29 }, { leeway: "30s" }, undefined],
  ["expired beyond the leeway", { exp: nowSeconds - 30 }, { leeway: "30s" }, /expired/],
  ["without expiry", { sub: "a" }, {}, undefined],
  ["with an expiry that is text", { exp: "2100" }, {}, /exp is not a number/],
  ["not valid yet", { nbf: nowSeconds + 1 }, {}, /not valid yet/],
  ["not valid yet, within the leeway", { nbf: nowSeconds + 1 }, { leeway: "1s" }, undefined],
  ["issued a little ahead", { iat: nowSeconds + 60 }, {}, undefined],
  ["issued far ahead", { iat: nowSeconds + 61 }, {}, /issued in the future/],
  ["of the issuer", { iss: "https://id" }, { issuer: "https://id" }, undefined],
  ["of one of the issuers", { iss: "b" }, { issuer: ["a", "b"] }, undefined],
  ["of another issuer", { iss: "https://evil" }, { issuer: "https://id" }, /issuer/],
  ["without issuer", {}, { issuer: "https://id" }, /issuer/],
  ["for the audience", { aud: "api" }, { audience: "api" }, undefined],
  ["for several audiences", { aud: ["x", "api"] }, { audience: ["api", "y"] }, undefined],
  ["for another audience", { aud: ["x"] }, { audience: "api" }, /audience/],
  ["without audience", {}, { audience: "api" }, /audience/],
] as const) {
  test(`a token ${name} is ${refusal === undefined ? "taken" : "refused"}`, async () => {
    const token = forge({ alg: "HS256" }, payload);
    const run = await runMiddleware(jwt, { secret, ...settings }, bearer(token));
    if (refusal === undefined) assert.equal(run.response.status, 200);
    else assert.match(challengeOf(run), refusal);
  });
}

for (const [name, token, settings] of [
  ["alg none", forge({ alg: "none" }, valid), {}],
  ["alg none without signature", forge({ alg: "none" }, valid).replace(/[^.]*$/, ""), {}],
  ["an algorithm that is not on the list", forge({ alg: "HS256" }, valid), { algorithms: ["HS512"] }],
  [
    "the public key as HMAC secret",
    forge({ alg: "HS256" }, valid, pem(rsa.publicKey)),
    { secret: undefined, publicKey: pem(rsa.publicKey) },
  ],
  [
    "an algorithm of another key type",
    forge({ alg: "ES256" }, valid),
    { secret: undefined, publicKey: pem(rsa.publicKey) },
  ],
  ["its own key", forge({ alg: "HS256", jwk: { kty: "oct", k: "AA" }, jku: "https://evil" }, valid, "other"), {}],
  ["a critical extension", forge({ alg: "HS256", crit: ["b64"], b64: true }, valid), {}],
  ["more than 8 KiB", forge({ alg: "HS256" }, { ...valid, pad: "x".repeat(8192) }), {}],
  ["a list as payload", forge({ alg: "HS256" }, [1]), {}],
  ["padding", `${forge({ alg: "HS256" }, valid)}=`, {}],
  ["two parts", forge({ alg: "HS256" }, valid).replace(/\.[^.]*$/, ""), {}],
  ["no JSON", "AAAA.BBBB.CCCC", {}],
] as const) {
  test(`refuses a token with ${name}`, async () => {
    assert.match(
      challengeOf(await runMiddleware(jwt, { secret, ...settings }, bearer(token))),
      /error="invalid_token"/,
    );
  });
}

for (const [name, request] of [
  ["no token", {}],
  ["another scheme", { headers: { authorization: "Basic YTpi" } }],
  ["an empty one", { headers: { authorization: "Bearer " } }],
] as const) {
  test(`${name}: 401 without an error code, or passed where a token is optional`, async () => {
    assert.equal(challengeOf(await runMiddleware(jwt, { secret }, request)), 'Bearer realm="headgate"');
    const run = await runMiddleware(jwt, { secret, optional: true }, request);
    assert.equal(run.response.status, 200);
    assert.equal(run.exchange.user, undefined);
  });
}

test("an optional token must still be good", async () => {
  assert.match(challengeOf(await runMiddleware(jwt, { secret, optional: true }, bearer("a.b.c"))), /invalid_token/);
});

test("reads the token from another header, a cookie or the query, and keeps it out of logs", async () => {
  const token = await sign(valid);
  const settings = { secret, header: "x-user", cookie: "sid", query: "t" };
  for (const request of [
    { headers: { "X-User": token } },
    { headers: { "x-user": `Bearer ${token}` } },
    { headers: { cookie: `a=b; sid=${token}` } },
    { url: `/?t=${token}` },
  ]) {
    const run = await runMiddleware(jwt, settings, request);
    assert.equal(run.response.status, 200);
    assert.deepEqual(["x-user", "t", "other"].map(secretTest(run.exchange)), [true, true, false]);
  }
  challengeOf(await runMiddleware(jwt, settings, bearer(token)));
});

test("two Authorization headers are refused", async () => {
  const token = await sign(valid);
  const headers = [
    ["authorization", `Bearer ${token}`],
    ["authorization", "Bearer other"],
  ] as const;
  assert.match(challengeOf(await runMiddleware(jwt, { secret }, { headers })), /more than one token/);
});

test("claims become headers, and the client's own never pass", async () => {
  const settings = {
    secret,
    optional: true,
    claimsToHeaders: {
      sub: "x-user",
      roles: "x-roles",
      "org.id": "x-org",
      "https://c/x": "x-c",
      org: "x-json",
      no: "x-no",
    },
  };
  const forged = { "X-User": "root", "x-roles": "admin", "x-org": "1", "x-no": "1" };
  const payload = { ...valid, sub: "jos\u00e9\r\n", roles: ["a", "b"], org: { id: 7 }, "https://c/x": true };
  const token = await sign(payload);
  const { headers } = (await runMiddleware(jwt, settings, { headers: { ...forged, authorization: `Bearer ${token}` } }))
    .exchange.request;
  assert.deepEqual(headers.getAll("x-user"), [Buffer.from("jos\u00e9").toString("latin1")]);
  assert.deepEqual(
    ["x-roles", "x-org", "x-c", "x-json", "x-no"].map((name) => headers.get(name)),
    ["a,b", "7", "true", '{"id":7}', undefined],
  );
  const anonymous = (await runMiddleware(jwt, settings, { headers: forged })).exchange.request.headers;
  for (const name of Object.keys(forged)) assert.equal(anonymous.get(name), undefined);
});

test("a token seen before is not good beyond its expiry", async () => {
  const chain = createTestChain([[jwt, { secret }]]);
  const request = bearer(await sign({ sub: "a", exp: nowSeconds + 10 }));
  const first = await chain.run(request);
  const second = await chain.run(request);
  assert.equal(second.exchange.user, first.exchange.user);
  chain.clock.advance(9_999);
  assert.equal((await chain.run(request)).response.status, 200);
  chain.clock.advance(1);
  assert.match(challengeOf(await chain.run(request)), /expired/);
});

test("claims cannot be changed by a step for those after it", async () => {
  const chain = createTestChain([[jwt, { secret }]]);
  const { exchange } = await chain.run(bearer(await sign({ ...valid, org: { id: 1 } })));
  assert.ok(Object.isFrozen(exchange.user));
  assert.ok(Object.isFrozen(exchange.user?.["org"]));
});

for (const [name, settings, message] of [
  ["no key", {}, /exactly one of secret, publicKey and jwks/],
  ["two keys", { secret, jwks: "https://id/jwks" }, /exactly one of/],
  ["a PEM as secret", { secret: pem(rsa.publicKey) }, /use publicKey/],
  ["a private key", { publicKey: rsa.privateKey.export({ type: "pkcs8", format: "pem" }) }, /private key/],
  ["no PEM", { publicKey: "key" }, /expected a public key in PEM/],
  ["a short RSA key", { publicKey: pem(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey) }, /2048 bits/],
  ["HS with a public key", { publicKey: pem(rsa.publicKey), algorithms: ["RS256", "HS256"] }, /HS256 needs a secret/],
  ["RS with a secret", { secret, algorithms: ["RS256"] }, /not a secret/],
  ["ES with an RSA key", { publicKey: pem(rsa.publicKey), algorithms: ["ES256"] }, /none of these fits/],
  ["alg none", { secret, algorithms: ["none"] }, /jwt\.algorithms/],
  ["a jwks that is a file", { jwks: "file:///etc/passwd" }, /http or https/],
  ["a header that cannot be set", { secret, claimsToHeaders: { sub: "content-length" } }, /cannot be set/],
] as const) {
  test(`refuses settings with ${name}, without repeating them`, async () => {
    await assert.rejects(runMiddleware(jwt, settings), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(!error.message.includes("BEGIN") || error.message.includes("-----BEGIN PUBLIC KEY-----)"));
      assert.ok(!error.message.includes(secret));
      return true;
    });
  });
}
