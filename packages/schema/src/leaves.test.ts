import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { addressProblem, hostProblem, methodProblem, nameProblem, pathProblem, regexProblem } from "./leaves.ts";
import { isIpv4, isIpv6, isNetwork } from "./network-syntax.ts";
import { didYouMean } from "./suggest.ts";

for (const path of ["/", "/a", "/a/", "/a/*", "/*", "/a/:id", "/:a/:b/*", "/a:b", "/%C3%A9", "/a.b/~c", "/a%20b"]) {
  test(`the path ${path} is accepted`, () => assert.equal(pathProblem(path), undefined));
}

const badPaths: [string, RegExp][] = [
  ["", /must start with/],
  ["a", /must start with/],
  ["/a*", /whole last segment/],
  ["/*/a", /whole last segment/],
  ["/a//b", /"\/\/"/],
  ["/a/../b", /resolved before matching/],
  ["/a?b", /under "query"/],
  ["/:id/:id", /appears twice/],
  ["/:", /not a parameter/],
  ["/:1a", /not a parameter/],
  ["/%41", /write "A" for "%41"/],
  ["/a%21", /write "!" for "%21"/],
  ["/a%2fb", /write "\/" for "%2f"/],
  ["/%c3%a9", /write "%C3"/],
  ["/%zz", /percent-encoding/],
  ["/%00", /refused in every request/],
  ["/é", /write it as "%C3%A9"/],
  ["/a b", /write it as "%20"/],
  ["/\ud800", /may not hold/],
  [`/${"a".repeat(3000)}`, /2048/],
];
for (const [path, reason] of badPaths) {
  test(`the path ${JSON.stringify(path.slice(0, 20))} is refused`, () => assert.match(pathProblem(path) ?? "", reason));
}

for (const host of [
  "example.com",
  "EXAMPLE.com",
  "*.example.org",
  "localhost",
  "10.0.0.1",
  "[::1]",
  "xn--bcher-kva.de",
]) {
  test(`the host ${host} is accepted`, () => assert.equal(hostProblem(host), undefined));
}

const badHosts: [string, RegExp][] = [
  ["*", /leave "hosts" out/],
  ["a.*.b", /first labels/],
  ["*a.b", /first labels/],
  ["*.", /not a host/],
  ["a.b:80", /without a port/],
  ["http://a.b", /without scheme/],
  ["a..b", /not a host/],
  ["bücher.de", /xn--/],
  ["", /not a host/],
  ["[::1", /not a host/],
];
for (const [host, reason] of badHosts) {
  test(`the host ${JSON.stringify(host)} is refused`, () => assert.match(hostProblem(host) ?? "", reason));
}

const addresses: [string, boolean][] = [
  ["127.0.0.1:80", true],
  ["api.internal:8080", true],
  ["[::1]:80", true],
  ["::1:80", false],
  ["127.0.0.1", false],
  ["256.0.0.1:80", false],
  ["a:0", false],
  ["a:65536", false],
  [":80", false],
  ["http://a:80", false],
  ["a b:80", false],
];
for (const [address, valid] of addresses) {
  test(`the instance address ${address} is ${valid ? "accepted" : "refused"}`, () => {
    assert.equal(addressProblem(address, 1, true) === undefined, valid);
  });
}

test("an address to listen on may leave the host out and ask for a free port", () => {
  assert.equal(addressProblem(":0", 0, false), undefined);
});

test("names, methods and regular expressions say what is wrong with them", () => {
  assert.equal(nameProblem("users-v2.1_x"), undefined);
  assert.match(nameProblem("__proto__") ?? "", /not valid/);
  assert.match(nameProblem("a/b") ?? "", /not valid/);
  assert.equal(methodProblem("PROPFIND"), undefined);
  assert.match(methodProblem("Get") ?? "", /write "GET"/);
  assert.match(methodProblem("GTE") ?? "GTE passes", /GTE passes/);
  assert.equal(regexProblem("^a+$"), undefined);
  assert.equal(regexProblem("("), "is not a regular expression: Unterminated group");
  assert.match(regexProblem("a".repeat(1025)) ?? "", /1024/);
});

test("addresses are judged as node:net judges them", () => {
  const piece = fc.constantFrom("0", "1", "ffff", "10", "255", "256", ":", "::", ".", "1.2.3.4", "g", "%eth0");
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.array(piece, { maxLength: 12 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (address) => {
      const version = address.includes("%") ? 0 : isIP(address);
      assert.equal(isIpv4(address), version === 4, address);
      assert.equal(isIpv6(address), version === 6, address);
    }),
    { numRuns: 2000 },
  );
});

test("networks have a prefix within their width", () => {
  for (const network of ["10.0.0.0/8", "::/0", "::1", "10.0.0.1", "2001:db8::/128"])
    assert.ok(isNetwork(network), network);
  for (const network of ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/08", "10/8", ""])
    assert.ok(!isNetwork(network), network);
});

test("a mistyped word finds the word that was meant, an unrelated one none", () => {
  const words = ["routes", "services", "rate-limit", "strip-prefix", "jwt"];
  assert.equal(didYouMean("rutes", words), "routes");
  assert.equal(didYouMean("ratelimit", words), "rate-limit");
  assert.equal(didYouMean("RATE_LIMIT", words), "rate-limit");
  assert.equal(didYouMean("stirp-prefix", words), "strip-prefix");
  assert.equal(didYouMean("jtw", words), "jwt");
  assert.equal(didYouMean("plugins", words), undefined);
  assert.equal(didYouMean("", words), undefined);
});
