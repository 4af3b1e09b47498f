import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { request } from "../kit/client.ts";
import { echoUpstream, type Echo } from "../kit/echo.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { deadPort } from "../kit/ports.ts";
import { ManualScope } from "../kit/scope.ts";

const scope = new ManualScope();
let gateway: GatewayProcess;

before(async () => {
  const [one, two] = [await echoUpstream(scope, "one"), await echoUpstream(scope, "two")];
  const respond = (body: string): object => ({ status: 200, body });
  gateway = await startGateway(scope, {
    document: {
      routes: {
        users: { match: { path: "/users/*", methods: ["GET", "POST"] }, to: "one" },
        guarded: {
          match: { path: "/users/admin/*" },
          use: [{ "ip-restriction": { deny: ["127.0.0.0/8"] } }],
          to: "one",
        },
        exact: { match: { path: "/users/exact" }, respond: respond("exact") },
        param: {
          match: { path: "/users/:id/name" },
          use: [{ headers: { request: { set: { "x-user": "${param.id}" } } } }],
          to: "one",
        },
        host: { match: { hosts: ["*.example.org"], path: "/users/*" }, respond: respond("host") },
        header: { match: { path: "/users/*", methods: ["GET"], headers: { "x-version": "2" } }, to: "two" },
        split: {
          match: { path: "/split" },
          to: [
            { service: "one", weight: 3 },
            { service: "two", weight: 1 },
          ],
        },
        fallback: {
          match: { path: "/fallback" },
          to: "dead",
          fallback: { respond: { status: 503, body: "back soon" } },
        },
        elsewhere: { match: { path: "/elsewhere" }, to: "dead", fallback: { service: "two" } },
      },
      services: {
        one: { instances: [{ address: one.address }] },
        two: { instances: [{ address: two.address }] },
        dead: { instances: [{ address: `127.0.0.1:${await deadPort()}` }] },
      },
    },
  });
});
after(() => scope.close());

const ask = (target: string, init: Parameters<typeof request>[3] = {}) => request(scope, gateway.port, target, init);

test("a path without a route is answered 404 with its code", async () => {
  const response = await ask("/nowhere");
  assert.equal(response.status, 404);
  assert.equal((JSON.parse(response.text) as { code: string }).code, "HG_ROUTE_NOT_FOUND");
});

test("a method that no route takes is answered 405 with what would be taken", async () => {
  const response = await ask("/users/1", { method: "DELETE" });
  assert.equal(response.status, 405);
  assert.equal((JSON.parse(response.text) as { code: string }).code, "HG_METHOD_NOT_ALLOWED");
  assert.deepEqual(response.get("allow")?.split(/, */).toSorted(), ["GET", "POST"]);
});

for (const path of [
  "/users/admin/x",
  "/users/%61dmin/x",
  "/users/./admin/x",
  "/x/../users/admin/x",
  "/users%2fadmin/x",
  "/users//admin/x",
  "/%75sers/admin%2fx",
]) {
  test(`no spelling of a guarded path passes its guard: ${path}`, async () => {
    const response = await ask(path);
    assert.equal(response.status, 403);
    assert.equal((JSON.parse(response.text) as { code: string }).code, "HG_FORBIDDEN");
  });
}

test("the most specific route takes the request", async () => {
  assert.equal((await ask("/users/exact")).text, "exact");
  assert.equal((await ask("/users/1", { headers: { host: "a.b.example.org:80" } })).text, "host");
  assert.equal((JSON.parse((await ask("/users/1", { headers: { "x-version": "2" } })).text) as Echo).server, "two");
  const named = JSON.parse((await ask("/users/a%20b/name")).text) as Echo;
  assert.deepEqual(
    named.headers.find(([name]) => name.toLowerCase() === "x-user"),
    ["x-user", "a b"],
  );
});

test("weights decide how many requests each service gets", async () => {
  const count = { one: 0, two: 0 };
  for (let i = 0; i < 80; i++) count[(JSON.parse((await ask("/split")).text) as { server: "one" | "two" }).server]++;
  // Three to one: 60 and 20. Drawn by lot, fewer than 6 of 80 at a chance of one in four are a case in 100,000.
  assert.ok(count.two >= 6 && count.one >= 40, JSON.stringify(count));
});

test("where a service cannot be reached the fallback answers", async () => {
  const response = await ask("/fallback");
  assert.deepEqual([response.status, response.text], [503, "back soon"]);
  assert.equal((JSON.parse((await ask("/elsewhere")).text) as Echo).server, "two");
});

test("a preflight reaches the cors step of a route that does not list OPTIONS; without cors it gets 405", async (t) => {
  const respond = { status: 200, body: "x" };
  const own = await startGateway(t, {
    document: {
      routes: {
        open: { match: { path: "/open", methods: ["PUT"] }, use: [{ cors: { origins: ["https://a"] } }], respond },
        closed: { match: { path: "/closed", methods: ["PUT"] }, respond },
      },
    },
  });
  const headers = { origin: "https://a", "access-control-request-method": "PUT" };
  const open = await request(t, own.port, "/open", { method: "OPTIONS", headers });
  assert.deepEqual([open.status, open.get("access-control-allow-origin")], [204, "https://a"]);
  const closed = await request(t, own.port, "/closed", { method: "OPTIONS", headers });
  assert.deepEqual([closed.status, closed.get("allow")], [405, "PUT"]);
});
