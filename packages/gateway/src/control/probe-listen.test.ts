import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { canReusePort, claimAddresses } from "./probe-listen.ts";

test("a free address is kept, port 0 becomes a port", async () => {
  const [picked, six] = await claimAddresses([{ address: "127.0.0.1:0" }, { address: "[::1]:0" }]);
  assert.match(picked?.address ?? "", /^127\.0\.0\.1:[1-9]\d*$/);
  assert.match(six?.address ?? "", /^\[::1\]:[1-9]\d*$/);
  assert.deepEqual(await claimAddresses(picked === undefined ? [] : [picked]), [picked]);
});

test("an address where somebody shares the port is taken all the same", async (t) => {
  const reusePort = await canReusePort();
  const server = createServer().listen({ host: "127.0.0.1", port: 0, reusePort });
  t.after(() => server.close());
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address is one
  await assert.rejects(claimAddresses([{ address }]), new RegExp(`^Error: ${address} is taken`));
});

test("an address of another machine is told as such", async () => {
  await assert.rejects(claimAddresses([{ address: "192.0.2.1:8080" }]), /no address of this machine/);
});
