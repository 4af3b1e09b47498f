import assert from "node:assert/strict";
import { test } from "node:test";
import { GatewayError } from "./errors.ts";
import { errorWithFields, isFieldName, wireFieldReason } from "./field-rules.ts";

test("wireFieldReason names a reason for fields of the wire only, whatever their case", () => {
  for (const name of ["Connection", "content-length", "TRANSFER-ENCODING", "te", "Trailer", "upgrade", "keep-alive"]) {
    assert.equal(typeof wireFieldReason(name), "string", name);
  }
  for (const name of ["x-team", "host", "toString", "__proto__"]) assert.equal(wireFieldReason(name), undefined, name);
});

test("isFieldName takes tokens only", () => {
  assert.equal(isFieldName("x-team_1"), true);
  for (const name of ["", "a b", "a:", "é", "a\r\n"]) assert.equal(isFieldName(name), false, name);
});

test("errorWithFields keeps code and details, replaces fields and lets Vary grow", () => {
  const error = new GatewayError("HG_UNAUTHENTICATED", {
    detail: "No token.",
    headers: { "WWW-Authenticate": "Bearer", Vary: "Cookie" },
  });
  const more = errorWithFields(error, { vary: "Origin", "www-authenticate": "Basic", "x-a": "1" });
  assert.equal(more.code, "HG_UNAUTHENTICATED");
  assert.equal(more.details.detail, "No token.");
  assert.equal(more.cause, error);
  assert.deepEqual(more.details.headers, { "www-authenticate": "Basic", vary: "Cookie, Origin", "x-a": "1" });
});

test("errorWithFields makes a foreign error the internal one that it would be answered as", () => {
  const cause = new TypeError("x is undefined");
  const error = errorWithFields(cause, { "x-a": "1" });
  assert.equal(error.code, "HG_INTERNAL");
  assert.equal(error.cause, cause);
  assert.deepEqual(error.details.headers, { "x-a": "1" });
});
