import assert from "node:assert/strict";
import { test } from "node:test";
import { isSecretName, markSecret, redactQuery, secretTest } from "./secrets.ts";

const secrets =
  "Authorization proxy-authorization Cookie set-cookie X-Api-Key api-key apikey apiKey key access_token token accessToken " +
  "id_token X-Amz-Signature X-Amz-Security-Token X-Amz-Credential password client_secret secret signature sig jwt " +
  "x-auth-token passwd session";
const plain = "monkey keys tokens x-team host q user-agent design author secretary x-request-id status accept";

test("knows credentials by their names", () => {
  for (const name of secrets.split(" ")) assert.equal(isSecretName(name), true, name);
  for (const name of plain.split(" ")) assert.equal(isSecretName(name), false, name);
});

test("what a step announces is secret in that exchange", () => {
  const exchange = { attributes: new Map<string, unknown>() };
  assert.equal(secretTest(exchange)("x-team"), false);
  markSecret(exchange, "token");
  assert.equal(exchange.attributes.size, 0);
  markSecret(exchange, "X-Team");
  markSecret(exchange, "t");
  assert.deepEqual(["x-team", "T", "token", "u"].map(secretTest(exchange)), [true, true, true, false]);
});

for (const [query, expected] of [
  ["", ""],
  ["?", "?"],
  ["?a=1&b", "?a=1&b"],
  ["?token=abc", "?token=[redacted]"],
  ["a=%41&access_token=x=y&b=2", "a=%41&access_token=[redacted]&b=2"],
  ["?%74oken=abc&to%6ben=d", "?%74oken=[redacted]&to%6ben=[redacted]"],
  ["?+token=abc", "?+token=[redacted]"],
  ["?%zztoken=abc&token", "?%zztoken=[redacted]&token"],
  ["?key=", "?key=[redacted]"],
] as const) {
  test(`shows "${query}" as "${expected}"`, () => assert.equal(redactQuery(query), expected));
}
