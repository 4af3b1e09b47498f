import assert from "node:assert/strict";
import type { Server } from "node:http";
import { test } from "node:test";
import { listen } from "./json-service.ts";
import { ordersService } from "./orders.ts";
import { usersService } from "./users.ts";

const cases: readonly [name: string, service: () => Server, path: string, status: number, body: RegExp][] = [
  ["users are listed", usersService, "/users", 200, /"Ada".*"Grace"/],
  ["one user is found by id", usersService, "/users/2?full=1", 200, /"id":"2","name":"Grace"/],
  ["an unknown user is 404", usersService, "/users/9", 404, /nothing at/],
  ["orders are listed", ordersService, "/orders", 200, /analytical engine/],
];

for (const [name, service, path, status, body] of cases) {
  test(`${name}, with the address and the request id that it was served under`, async (t) => {
    const server = service();
    t.after(() => server.close());
    const address = await listen(server, 0);
    const response = await fetch(`http://${address}${path}`, { headers: { "x-request-id": "r1" } });
    const text = await response.text();
    assert.equal(response.status, status);
    assert.match(text, body);
    if (status === 200) assert.ok(text.includes(`"servedBy":"${address}","requestId":"r1"`), text);
  });
}
