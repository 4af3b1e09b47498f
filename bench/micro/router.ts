/**
 * What routing costs: building a table, one look-up, adding and removing a route, for tables of 10 to 100,000 routes.
 * `node bench/micro/router.ts` prints a table; `-o json` prints it as JSON. Figures are the best of several rounds,
 * because the machines that run this are shared.
 */
import { compileMatch } from "../../packages/gateway/src/proxy/router/conditions.ts";
import { normalizeTarget } from "../../packages/gateway/src/proxy/router/normalize.ts";
import { Router } from "../../packages/gateway/src/proxy/router/router.ts";
import { clientOf, requestOf } from "../../packages/gateway/src/proxy/router/router.fixtures.ts";
import type { ExchangeRequest } from "../../packages/gateway/src/proxy/exchange.ts";
import type { Match } from "@headgate/schema";

const sizes = [10, 1_000, 10_000, 100_000];
const rounds = 7;
const looks = 100_000;
const client = clientOf();

interface Table {
  readonly name: string;
  readonly match: (index: number) => Match;
  readonly request: (index: number) => { host: string; target: string };
}

const tables: readonly Table[] = [
  {
    name: "prefixes of one host",
    match: (index) => ({ hosts: ["api.test"], path: `/api/service-${index}/*` }),
    request: (index) => ({ host: "api.test", target: `/api/service-${index}/items/7` }),
  },
  {
    name: "exact paths",
    match: (index) => ({ path: `/api/service-${index}/items` }),
    request: (index) => ({ host: "api.test", target: `/api/service-${index}/items` }),
  },
  {
    name: "paths with a parameter",
    match: (index) => ({ path: `/api/service-${index}/:id` }),
    request: (index) => ({ host: "api.test", target: `/api/service-${index}/7` }),
  },
  {
    name: "hosts",
    match: (index) => ({ hosts: [`t${index}.example.test`], path: "/api/*" }),
    request: (index) => ({ host: `t${index}.example.test`, target: "/api/items" }),
  },
  {
    name: "wildcard hosts, method, header",
    match: (index) => ({
      hosts: [`*.t${index}.test`],
      path: "/api/*",
      methods: ["GET", "HEAD"],
      headers: { accept: { regex: "json" } },
    }),
    request: (index) => ({ host: `a.t${index}.test`, target: "/api/items" }),
  },
];

interface Row {
  readonly table: string;
  readonly routes: number;
  readonly buildMs: number;
  readonly findNs: number;
  readonly missNs: number;
  readonly changeNs: number;
}

function measure(table: Table, routes: number): Row {
  const router = new Router<number>();
  const buildMs =
    timeNs(() => {
      for (let i = 0; i < routes; i++) router.set(`route-${i}`, [table.match(i)], 0, i);
    }) / 1e6;
  // More requests than fit a core's cache would measure the memory; 512 spread over the table measure the look-up.
  const requests: ExchangeRequest[] = [];
  for (let i = 0; i < 512; i++) {
    const facts = table.request(Math.floor((i * routes) / 512));
    requests.push(requestOf({ ...facts, headers: { accept: "application/json", "user-agent": "bench" } }));
  }
  const misses = requests.map(() => requestOf({ host: "nowhere.invalid", target: "/nothing/here" }));
  const extra = table.match(routes);
  return {
    table: table.name,
    routes,
    buildMs,
    findNs: best(() => find(router, requests)),
    missNs: best(() => find(router, misses)),
    changeNs: best(() => {
      const changes = 2_000;
      return (
        timeNs(() => {
          for (let i = 0; i < changes; i++) {
            router.set("extra", [extra], 0, i);
            router.delete("extra");
          }
        }) / changes
      );
    }),
  };
}

let sink = 0;

function find(router: Router<number>, requests: readonly ExchangeRequest[]): number {
  return (
    timeNs(() => {
      for (let i = 0; i < looks; i++) {
        const request = requests[i & 511];
        if (request !== undefined) sink += router.find(request, client)?.value ?? 1;
      }
    }) / looks
  );
}

function single(): Record<string, number> {
  const targets = ["/api/v1/users/42?fields=name", "/api/v1/users/42", "/a%20b/%7Euser/../x//y"];
  const when = compileMatch({ methods: ["POST"], path: "/api/*" });
  const request = requestOf({ target: "/api/v1/users/42" });
  const figures: Record<string, number> = {};
  for (const target of targets) {
    figures[`normalizeTarget ${target}`] = best(
      () =>
        timeNs(() => {
          for (let i = 0; i < looks; i++) sink += normalizeTarget(target)?.path.length ?? 0;
        }) / looks,
    );
  }
  figures["when: method and path"] = best(
    () =>
      timeNs(() => {
        for (let i = 0; i < looks; i++) sink += when(request, client) ? 1 : 0;
      }) / looks,
  );
  return figures;
}

function best(round: () => number): number {
  let lowest = Infinity;
  for (let i = 0; i < rounds; i++) lowest = Math.min(lowest, round());
  return lowest;
}

function timeNs(work: () => void): number {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start);
}

const rows = tables.flatMap((table) => sizes.map((routes) => measure(table, routes)));
const others = single();
if (process.argv.includes("json")) {
  process.stdout.write(`${JSON.stringify({ rows, others }, undefined, 2)}\n`);
} else {
  const cells = (row: readonly (string | number)[]): string =>
    row.map((cell, index) => (index === 0 ? String(cell).padEnd(32) : String(cell).padStart(12))).join("");
  const lines = [cells(["table", "routes", "build ms", "find ns", "miss ns", "add+drop ns"])];
  for (const row of rows) {
    const figures = [row.findNs, row.missNs, row.changeNs].map((figure) => figure.toFixed(0));
    lines.push(cells([row.table, row.routes, row.buildMs.toFixed(1), ...figures]));
  }
  for (const [name, figure] of Object.entries(others)) lines.push(`${name}: ${figure.toFixed(0)} ns`);
  process.stdout.write(`${lines.join("\n")}\n`);
}
if (sink === 0) throw new Error("nothing was found: the figures are of an empty loop");
