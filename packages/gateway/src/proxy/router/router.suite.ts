import type { Match } from "@headgate/schema";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client, ExchangeRequest } from "../exchange.ts";
import { clientOf, requestOf, type RequestFacts } from "./router.fixtures.ts";
import type { Found } from "./router.ts";

/** What every router does, the real one and the model it is compared with. */
export interface RouterLike<T> {
  readonly size: number;
  set(name: string, alternatives: readonly Match[], priority: number, value: T): void;
  delete(name: string): boolean;
  find(request: ExchangeRequest, client: Client): Found<T> | undefined;
  allowedMethods(request: ExchangeRequest, client: Client): string[];
}

type Routes = Readonly<Record<string, Match | readonly Match[] | { match: Match; priority: number }>>;

function fill(router: RouterLike<number>, routes: Routes): RouterLike<number> {
  for (const [index, [name, route]] of Object.entries(routes).entries()) {
    if ("priority" in route) router.set(name, [route.match], route.priority, index);
    // Array.isArray does not narrow a readonly array in a union.
    else router.set(name, Array.isArray(route) ? (route as readonly Match[]) : [route as Match], 0, index);
  }
  return router;
}

interface Case {
  readonly rule: string;
  readonly routes: Routes;
  /** Request in short, or in full; and the route that takes it (empty: none). */
  readonly requests: readonly (readonly [request: string | (RequestFacts & { ip?: string }), winner: string])[];
}

/** `GET host /target`, `host /target` or `/target`. */
function readRequest(text: string): RequestFacts {
  const words = text.split(" ");
  const target = words.pop() ?? "/";
  const host = words.pop() ?? "";
  return { method: words.pop() ?? "GET", host, target };
}

const hostCases: readonly Case[] = [
  {
    rule: "an exact host wins over the longest wildcard, over a shorter one, over none",
    routes: {
      none: {},
      short: { hosts: ["*.org"] },
      long: { hosts: ["*.example.org"] },
      exact: { hosts: ["api.example.org"] },
    },
    requests: [
      ["api.example.org /", "exact"],
      ["www.example.org /", "long"],
      ["a.b.example.org /", "long"],
      ["example.org /", "short"],
      ["org /", "none"],
      ["example.com /", "none"],
      ["/", "none"],
    ],
  },
  {
    rule: "a wildcard takes whole labels, one or more, and not the bare name",
    routes: { wild: { hosts: ["*.example.org"] } },
    requests: [
      ["example.org /", ""],
      [".example.org /", ""],
      ["badexample.org /", ""],
      ["x.example.org.evil.net /", ""],
      ["a.b.c.example.org /", "wild"],
    ],
  },
  {
    rule: "a more specific host wins over a more specific path",
    routes: { host: { hosts: ["a.test"], path: "/*" }, path: { path: "/x/y" } },
    requests: [
      ["a.test /x/y", "host"],
      ["b.test /x/y", "path"],
    ],
  },
  {
    rule: "a host whose conditions or paths fail falls through to the next one",
    routes: {
      exact: { hosts: ["a.example.org"], path: "/x", methods: ["POST"] },
      wild: { hosts: ["*.example.org"], path: "/x", headers: { "x-v": { equals: "2" } } },
      none: { path: "/x" },
    },
    requests: [
      ["POST a.example.org /x", "exact"],
      [{ host: "a.example.org", target: "/x", headers: { "X-V": "2" } }, "wild"],
      ["a.example.org /x", "none"],
      ["a.example.org /y", ""],
    ],
  },
];

const pathCases: readonly Case[] = [
  {
    rule: "an exact path wins over parameters, over the longest prefix, over no path",
    routes: {
      none: {},
      root: { path: "/a/*" },
      long: { path: "/a/b/*" },
      parameter: { path: "/a/:x" },
      exact: { path: "/a/b" },
    },
    requests: [
      ["/a/b", "exact"],
      ["/a/c", "parameter"],
      ["/a/b/", "long"],
      ["/a/b/c", "long"],
      ["/a/c/d", "root"],
      ["/a", "root"],
      ["/a/", "root"],
      ["/ab", "none"],
      ["/", "none"],
    ],
  },
  {
    rule: "paths are case-sensitive and a trailing slash is part of an exact path",
    routes: { plain: { path: "/a" }, slash: { path: "/b/" }, home: { path: "/" } },
    requests: [
      ["/a", "plain"],
      ["/a/", ""],
      ["/A", ""],
      ["/b/", "slash"],
      ["/b", ""],
      ["/", "home"],
    ],
  },
  {
    rule: "of paths with parameters more literal segments win, then the leftmost literal",
    routes: {
      "two-literals": { path: "/:a/b/c" },
      "left-literal": { path: "/a/:b/:c" },
      "right-literal": { path: "/:a/:b/c" },
    },
    requests: [
      ["/a/b/c", "two-literals"],
      ["/a/x/c", "left-literal"],
      ["/x/x/c", "right-literal"],
      ["/x/x/x", ""],
    ],
  },
  {
    rule: "a parameter takes one segment that is not empty",
    routes: { one: { path: "/a/:x" }, middle: { path: "/b/:x/c" } },
    requests: [
      ["/a/", ""],
      ["/a/1", "one"],
      ["/a/1/", ""],
      ["/a/1/2", ""],
      ["/b//c", ""],
      ["/b/1/c", "middle"],
    ],
  },
  {
    rule: "of prefixes more segments win, then a literal before a parameter",
    routes: {
      literal: { path: "/a/b/*" },
      parameter: { path: "/:x/b/*" },
      longer: { path: "/:x/:y/:z/*" },
      short: { path: "/a/*" },
    },
    requests: [
      ["/a/b", "literal"],
      ["/c/b", "parameter"],
      ["/a/b/c", "longer"],
      ["/a/c", "short"],
    ],
  },
  {
    rule: "an exact path whose conditions fail falls through to parameters and prefixes",
    routes: {
      exact: { path: "/a/b", methods: ["POST"] },
      parameter: { path: "/a/:x", query: { v: { equals: "1" } } },
      prefix: { path: "/a/*" },
    },
    requests: [
      ["POST x /a/b", "exact"],
      ["/a/b?v=1", "parameter"],
      ["/a/b", "prefix"],
    ],
  },
  {
    rule: "no spelling of a path gets around the route that guards it",
    routes: { guard: { path: "/admin/*" }, batch: { path: "/users:batch" }, rest: { path: "/*" } },
    requests: [
      ["/%61dmin/x", "guard"],
      ["/x/../admin/", "guard"],
      ["/x%2f..%2fadmin", "guard"],
      ["//admin", "guard"],
      ["/%2Fadmin%2fx", "guard"],
      ["/users%3Abatch", "batch"],
      ["/administrator", "rest"],
      ["/%2561dmin", "rest"],
    ],
  },
];

const conditionCases: readonly Case[] = [
  {
    rule: "a method condition wins over more conditions, more conditions over priority, priority over a client, a client over the name",
    routes: {
      method: { path: "/x", methods: ["GET"] },
      two: { path: "/x", headers: { a: { exists: true } }, query: { b: { exists: true } } },
      one: { path: "/x", cookies: { c: { exists: true } } },
      client: { path: "/x", clients: ["10.0.0.0/8"] },
      all: { path: "/x" },
      high: { match: { path: "/y" }, priority: 10 },
      inside: { path: "/y", clients: ["10.0.0.0/8"] },
    },
    requests: [
      [{ target: "/x?b", headers: { a: "1", cookie: "c=1" }, ip: "10.1.1.1" }, "method"],
      [{ method: "PUT", target: "/x?b", headers: { a: "1", cookie: "c=1" }, ip: "10.1.1.1" }, "two"],
      [{ method: "PUT", target: "/x?b", headers: { cookie: "c=1" }, ip: "10.1.1.1" }, "one"],
      [{ method: "PUT", target: "/x?b", ip: "10.1.1.1" }, "client"],
      [{ method: "PUT", target: "/x" }, "all"],
      [{ target: "/y", ip: "10.1.1.1" }, "high"],
    ],
  },
  {
    rule: "priority wins over the name, the lower name wins by code units",
    routes: {
      b: { match: { path: "/p" }, priority: 0 },
      a: { match: { path: "/p" }, priority: 0 },
      B: { match: { path: "/q" }, priority: 0 },
      c: { match: { path: "/q" }, priority: 0 },
      z: { match: { path: "/r" }, priority: 1 },
      d: { match: { path: "/r" }, priority: 0 },
    },
    requests: [
      ["/p", "a"],
      ["/q", "B"],
      ["/r", "z"],
    ],
  },
  {
    rule: "GET does not imply HEAD",
    routes: { get: { methods: ["GET"] } },
    requests: [
      ["HEAD x /", ""],
      ["GET x /", "get"],
    ],
  },
  {
    rule: "header names have no case, values are whole, any of several fields may match",
    routes: { one: { headers: { "x-team": { equals: "a" } } }, two: { headers: { "x-mail": { regex: "@b" } } } },
    requests: [
      [{ headers: { "X-Team": "a" } }, "one"],
      [{ headers: { "X-Team": "A" } }, ""],
      [{ headers: { "X-Team": "ab" } }, ""],
      [{ headers: { "X-Team": "a, b" } }, ""],
      [{ headers: [["x-team", "b"], ["X-TEAM", "a"]] }, "one"], // prettier-ignore
      [{ headers: { "x-mail": "a@b.c" } }, "two"],
      [{ headers: { "x-mail": "a@c" } }, ""],
    ],
  },
  {
    rule: "exists asks for presence, an empty value is present",
    routes: {
      yes: {
        path: "/y",
        headers: { h: { exists: true } },
        query: { q: { exists: true } },
        cookies: { c: { exists: true } },
      },
      no: {
        path: "/n",
        headers: { h: { exists: false } },
        query: { q: { exists: false } },
        cookies: { c: { exists: false } },
      },
    },
    requests: [
      [{ target: "/y?q=", headers: { h: "", cookie: "c=" } }, "yes"],
      [{ target: "/y", headers: { h: "", cookie: "c=" } }, ""],
      [{ target: "/y?q=", headers: { cookie: "c=" } }, ""],
      [{ target: "/y?q=", headers: { h: "" } }, ""],
      [{ target: "/n" }, "no"],
      [{ target: "/n?q" }, ""],
      [{ target: "/n", headers: { h: "" } }, ""],
      [{ target: "/n", headers: { cookie: "c=" } }, ""],
    ],
  },
  {
    rule: "the first value of a query parameter counts, decoded; cookies are found among others",
    routes: {
      query: { path: "/q", query: { "a b": { equals: "1 2" } } },
      cookie: { path: "/c", cookies: { id: { regex: "^x" } } },
    },
    requests: [
      ["/q?a+b=1%202&a+b=3", "query"],
      ["/q?a+b=3&a+b=1%202", ""],
      [{ target: "/c", headers: { cookie: "a=1; id=xy" } }, "cookie"],
      [{ target: "/c", headers: { cookie: "aid=xy" } }, ""],
    ],
  },
  {
    rule: "clients are compared as addresses",
    routes: {
      four: { path: "/*", clients: ["10.0.0.0/8", "192.0.2.7"] },
      six: { path: "/*", clients: ["2001:db8::/32"] },
    },
    requests: [
      [{ ip: "10.2.3.4" }, "four"],
      [{ ip: "192.0.2.7" }, "four"],
      [{ ip: "192.0.2.8" }, ""],
      [{ ip: "2001:db8:1::1" }, "six"],
      [{ ip: "::1" }, ""],
    ],
  },
];

/** Runs the routing rules against a router. */
export function routerSuite(name: string, make: () => RouterLike<number>): void {
  for (const { rule, routes, requests } of [...hostCases, ...pathCases, ...conditionCases]) {
    test(`${name}: ${rule}`, () => {
      const forward = fill(make(), routes);
      const backward = fill(make(), Object.fromEntries(Object.entries(routes).reverse()));
      for (const [facts, winner] of requests) {
        const request = requestOf(typeof facts === "string" ? readRequest(facts) : facts);
        const client = clientOf(typeof facts === "string" ? undefined : facts.ip);
        assert.equal(forward.find(request, client)?.name ?? "", winner, JSON.stringify(facts));
        assert.equal(backward.find(request, client)?.name ?? "", winner, `${JSON.stringify(facts)}, added in reverse`);
      }
    });
  }

  test(`${name}: what was found tells the value, the alternative, the parameters and the segments taken`, () => {
    const router = make();
    router.set("r", [{ path: "/exact/path/" }, { path: "/p/:id/*" }, { path: "/q/:a/:__proto__" }, {}], 0, 42);
    const found = (target: string) => router.find(requestOf({ target }), clientOf());
    const at = (alternative: number, params: object, prefixSegments: number) => ({
      name: "r",
      value: 42,
      match: { alternative, params, prefixSegments },
    });
    assert.deepEqual(found("/exact/path/"), at(0, {}, 2));
    assert.deepEqual(found("/p/a%20b%25/rest"), at(1, { id: "a b%" }, 2));
    assert.deepEqual(found("/p/caf%C3%A9"), at(1, { id: "café" }, 2));
    assert.deepEqual(found("/q/1/2"), at(2, Object.fromEntries([["a", "1"], ["__proto__", "2"]]), 3)); // prettier-ignore
    assert.deepEqual(found("/elsewhere"), at(3, {}, 0));
  });

  test(`${name}: the methods that would have been taken are told, where only the method failed`, () => {
    const router = fill(make(), {
      read: { path: "/x/*", methods: ["GET", "HEAD"] },
      write: { path: "/x/y", methods: ["PUT", "GET"] },
      guarded: { path: "/x/y", methods: ["DELETE"], headers: { "x-admin": { exists: true } } },
      elsewhere: { hosts: ["other.test"], path: "/x/y", methods: ["PATCH"] },
    });
    const allowed = (facts: RequestFacts) => router.allowedMethods(requestOf({ method: "POST", ...facts }), clientOf());
    assert.deepEqual(allowed({ target: "/x/y" }), ["GET", "HEAD", "PUT"]);
    assert.deepEqual(allowed({ target: "/x/y", headers: { "x-admin": "1" } }), ["DELETE", "GET", "HEAD", "PUT"]);
    assert.deepEqual(allowed({ target: "/x/y", host: "other.test" }), ["GET", "HEAD", "PATCH", "PUT"]);
    assert.deepEqual(allowed({ target: "/y" }), []);
  });

  test(`${name}: replacing and removing a route leaves the others as they are`, () => {
    const router = fill(make(), { a: { path: "/a" }, b: { path: "/:x" }, c: { path: "/*" } });
    const winner = (target: string) => router.find(requestOf({ target }), clientOf())?.name;
    router.set("a", [{ path: "/moved" }], 0, 7);
    assert.equal(router.size, 3);
    assert.equal(winner("/a"), "b");
    assert.equal(winner("/moved"), "a");
    assert.equal(router.delete("b"), true);
    assert.equal(router.delete("b"), false);
    assert.equal(winner("/a"), "c");
    router.delete("c");
    assert.equal(winner("/a"), undefined);
    assert.equal(router.size, 1);
  });
}
