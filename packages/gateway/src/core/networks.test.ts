import assert from "node:assert/strict";
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { compileNetworks, parseAddress, parseNetwork } from "./networks.ts";

const cases: readonly (readonly [networks: readonly string[], ip: string, taken: boolean])[] = [
  [["10.0.0.0/8"], "10.255.0.1", true],
  [["10.0.0.0/8"], "11.0.0.1", false],
  [["10.1.2.3/8"], "10.9.9.9", true], // bits below the prefix are ignored
  [["192.168.1.7"], "192.168.1.7", true],
  [["192.168.1.7"], "192.168.1.8", false],
  [["0.0.0.0/0"], "255.255.255.255", true],
  [["0.0.0.0/0"], "::1", false],
  [["255.255.255.255/32"], "255.255.255.255", true],
  [["128.0.0.0/1"], "200.1.1.1", true],
  [["128.0.0.0/1"], "100.1.1.1", false],
  [["2001:db8::/32"], "2001:db8:ffff::1", true],
  [["2001:db8::/32"], "2001:db9::1", false],
  [["2001:DB8::1"], "2001:db8:0:0:0:0:0:1", true],
  [["fe80::/10"], "fe80::1%eth0", true],
  [["10.0.0.0/8"], "::ffff:10.0.0.1", true],
  [["10.0.0.0/8"], "::ffff:a00:1", true],
  [["::ffff:10.0.0.0/104"], "10.9.9.9", true],
  [["::ffff:10.0.0.0/104"], "11.9.9.9", false],
  [["::/0"], "2001:db8::1", true],
  [["::/0"], "10.0.0.1", false],
  [["::/0"], "::ffff:10.0.0.1", false],
  [["10.0.0.0/8", "::1"], "::1", true],
  [[], "10.0.0.1", false],
  [["10.0.0.0/8"], "10.0.0", false],
  [["10.0.0.0/8"], "010.0.0.1", false],
  [["10.0.0.0/8"], "10.0.0.1 ", false],
  [["10.0.0.0/8"], "", false],
];

test("networks take the addresses inside them and no others", () => {
  for (const [networks, ip, taken] of cases) {
    const inside = compileNetworks(networks);
    assert.equal(inside(ip), taken, `${networks.join()} ${ip}`);
    assert.equal(inside("203.0.113.9"), compileNetworks(networks)("203.0.113.9"));
    assert.equal(inside(ip), taken, "the same answer when asked again after another address");
  }
});

test("what is no network is refused with its text", () => {
  const bad =
    "10.0.0.0/33,10.0.0/8,10.0.0.0/,10.0.0.0/08,10.0.0.0/-1,::/129,1::2::3,:1,1:,1:2:3:4:5:6:7,12345::,::1.2.3.4.5,1.2.3.4::,256.0.0.1,x";
  for (const network of [...bad.split(","), ""]) {
    assert.equal(parseNetwork(network), undefined, network);
    assert.throws(() => compileNetworks([network]), TypeError);
  }
});

test("addresses parse exactly when node calls them addresses", () => {
  const part = fc.oneof(fc.constantFrom("", "0", "00", "1", "255", "256", "ffff", "fffff", "g", "1.2.3.4", "01.2.3.4"));
  const text = fc.array(part, { maxLength: 9 }).chain((parts) => fc.constantFrom(parts.join(":"), parts.join(".")));
  fc.assert(
    fc.property(fc.oneof(text, fc.ipV4(), fc.ipV6()), (ip) => {
      assert.equal(parseAddress(ip) !== undefined, isIPv4(ip) || isIPv6(ip));
    }),
    { numRuns: 2000 },
  );
});

test("membership agrees with node's BlockList", () => {
  const v4 = fc.record({
    ip: fc.ipV4(),
    length: fc.integer({ min: 0, max: 32 }),
    family: fc.constant("ipv4" as const),
  });
  const v6 = fc.record({
    ip: fc.ipV6(),
    length: fc.integer({ min: 96, max: 128 }),
    family: fc.constant("ipv6" as const),
  });
  const neighbour = fc.tuple(fc.oneof(v4, v6), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(neighbour, ([network, last]) => {
      const list = new BlockList();
      list.addSubnet(network.ip, network.length, network.family);
      const near =
        network.family === "ipv4"
          ? network.ip.replace(/\d+$/, String(last))
          : network.ip.replace(/[0-9a-f]+$/i, last.toString(16));
      if (network.family === "ipv6" && !isIPv6(near)) return;
      assert.equal(compileNetworks([`${network.ip}/${network.length}`])(near), list.check(near, network.family));
    }),
    { numRuns: 2000 },
  );
});
