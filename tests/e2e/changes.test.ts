import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import { request } from "../kit/client.ts";
import { ask, compileCache, type CommandEnd } from "../kit/command.ts";
import { EtcdData } from "../kit/etcd-data.ts";
import { etcdMissing, startEtcd, type Etcd } from "../kit/etcd.ts";
import { faultProxy } from "../kit/fault-proxy.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import { well } from "../kit/pair.ts";
import { ManualScope } from "../kit/scope.ts";
import { etcdState, respondRoute, startStoreGateway } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const skip = etcdMissing ?? false;

const service = { instances: [{ address: "127.0.0.1:9" }] };
const key = { "key-auth": { header: "x-api-key" } };

suite("changes by the command line", { skip }, () => {
  const scope = new ManualScope();
  let etcd: Etcd;
  let data: EtcdData;
  let gateway: GatewayProcess;
  before(async () => {
    etcd = await startEtcd(scope);
    data = new EtcdData(etcd.endpoint);
    gateway = await startStoreGateway(scope, `127.0.0.1:${etcd.clientPort}`, { env: compileCache });
  });
  after(() => scope.close());

  const write = (name: string, document: unknown): Promise<void> => {
    return writeFile(
      path.join(gateway.directory, name),
      typeof document === "string" ? document : JSON.stringify(document),
    );
  };
  const run = (...args: string[]): Promise<CommandEnd> => ask(gateway, args);
  const newestRevision = async (): Promise<number> => {
    const { stdout } = well(await run("history", "--limit", "1", "-o", "json"));
    const { changes } = JSON.parse(stdout) as { changes: { revision: number }[] }; // the admin API's contract
    return changes[0]?.revision ?? 0;
  };

  const first = {
    middlewares: { marked: { headers: { response: { set: { "x-mark": "1" } } } } },
    services: { up: service },
    routes: {
      api: { match: { path: "/api/*" }, to: "up" },
      hello: { ...respondRoute("/hello", "hi"), use: ["marked"] },
    },
    consumers: { ann: { keys: ["a-secret-key-of-ann"] } },
  };

  test("apply is one transaction and prints what it changes; applied again nothing differs", async () => {
    await write("first.yaml", first);
    const differs = await run("diff", "-f", "first.yaml");
    assert.equal(differs.code, 1, differs.stderr);
    assert.deepEqual(await etcdState(etcd), {}, "diff changed something");
    const { stdout } = well(await run("apply", "-f", "first.yaml", "--message", "the first"));
    for (const name of ["middlewares/marked", "services/up", "routes/api", "routes/hello", "consumers/ann"]) {
      assert.match(stdout, new RegExp(`^\\+ ${name}$`, "m"));
    }
    const state = await etcdState(etcd);
    assert.deepEqual(Object.fromEntries(Object.entries(state).map(([id, { value }]) => [id, value])), {
      "middlewares/marked": first.middlewares.marked,
      "services/up": service,
      "routes/api": first.routes.api,
      "routes/hello": first.routes.hello,
      "consumers/ann": first.consumers.ann,
    });
    assert.equal(new Set(Object.values(state).map(({ revision }) => revision)).size, 1, "not one revision");

    const before = await data.revision();
    assert.match(well(await run("apply", "-f", "first.yaml")).stdout, /^Nothing differs from revision \d+\.$/m);
    assert.match(well(await run("diff", "-f", "first.yaml")).stdout, /^Nothing differs/m);
    assert.equal(await data.revision(), before, "something was written");
  });

  test("a change is shown field by field, secrets hidden; --prune deletes the rest", async () => {
    const { api, hello } = first.routes;
    const second = {
      routes: { hello: { ...hello, respond: { status: 200, body: "hello" } }, api: { ...api, timeout: "5s" } },
      services: { up: service },
      middlewares: first.middlewares,
      consumers: { ann: { keys: ["another-secret-of-ann"] } },
    };
    await write("second.yaml", second);
    const { stdout } = well(await run("apply", "-f", "second.yaml", "--message", "politer"));
    assert.match(stdout, /^~ routes\/hello\n {4}respond\.body: "hi" -> "hello"$/m);
    assert.match(stdout, /^ {4}timeout: added "5s"$/m);
    assert.match(stdout, /^~ consumers\/ann\n {4}keys.*redacted/m);
    const told = [
      stdout,
      well(await run("history")).stdout,
      well(await run("history", "consumer", "ann")).stdout,
      well(await run("history", "-o", "json")).stdout,
      well(await run("export")).stdout,
      well(await run("get", "consumer", "ann")).stdout,
      well(await run("status", "-o", "json")).stdout,
      gateway.logs.stderr,
    ].join("\n");
    assert.ok(!/secret(?:-key)?-of-ann/.test(told), "a key is shown");
    assert.match(well(await run("history", "consumer", "ann", "--secrets")).stdout, /another-secret-of-ann/);

    await write("less.yaml", { routes: { hello: second.routes.hello }, middlewares: first.middlewares });
    assert.match(well(await run("apply", "-f", "less.yaml")).stdout, /^Nothing differs/);
    const differs = await run("diff", "-f", "less.yaml", "--prune");
    assert.equal(differs.code, 1);
    const pruned = well(await run("apply", "-f", "less.yaml", "--prune"));
    for (const printed of [differs, pruned]) {
      for (const name of ["routes/api", "services/up", "consumers/ann"]) {
        assert.match(printed.stdout, new RegExp(`^- ${name}$`, "m"));
      }
    }
    assert.deepEqual(Object.keys(await etcdState(etcd)).sort(), ["middlewares/marked", "routes/hello"]);
  });

  test("a dry run says what recent traffic would notice and what is out of reach, and changes nothing", async (t) => {
    const live = {
      routes: {
        old: respondRoute("/shop/*", "old"),
        gone: respondRoute("/gone", "gone"),
        safe: { ...respondRoute("/safe", "safe"), use: [key] },
        open: respondRoute("/open", "open"),
        same: respondRoute("/same", "same"),
      },
    };
    await write("live.yaml", live);
    well(await run("apply", "-f", "live.yaml", "--prune", "--wait", "20s"));
    const visit = async (target: string, times: number): Promise<void> => {
      for (let time = 0; time < times; time++) await request(t, gateway.port, target);
    };
    await visit("/shop/cart", 7);
    await visit("/gone", 3);
    await visit("/safe", 2);
    await visit("/open", 4);
    await visit("/found", 5);
    await visit("/same", 6);
    await write("next.yaml", {
      routes: {
        ...live.routes,
        cart: respondRoute("/shop/cart", "cart"),
        gone: respondRoute("/elsewhere", "gone"),
        safe: respondRoute("/safe", "safe"),
        open: { ...respondRoute("/open", "open"), use: [key] },
        found: respondRoute("/found", "found"),
        never: { ...respondRoute("/same", "never"), priority: -1 },
      },
    });
    const before = await data.revision();
    const { stdout } = well(await run("apply", "-f", "next.yaml", "--dry-run"));
    assert.equal(await data.revision(), before, "a dry run wrote something");
    assert.match(stdout, /^7 of 27 recent requests move from old to cart, such as GET .*\/shop\/cart/m);
    assert.match(stdout, /^3 of 27 .*gone.*404/m);
    assert.match(stdout, /^5 of 27 .*404.*found/m);
    assert.match(stdout, /^2 of 27 .*to safe are no longer asked who sent them/m);
    assert.match(stdout, /^4 of 27 .*to open are asked who sent them/m);
    assert.match(stdout, /never/);
    const { unreachable } = JSON.parse(
      well(await run("apply", "-f", "next.yaml", "--dry-run", "-o", "json")).stdout,
    ) as {
      unreachable: { route: string; by: string }[];
    }; // the admin API's contract
    assert.deepEqual(
      unreachable.map(({ route, by }) => ({ route, by })),
      [{ route: "never", by: "same" }],
    );
    assert.equal((await request(t, gateway.port, "/shop/cart")).text, "old");
    assert.equal((await request(t, gateway.port, "/found")).status, 404);
  });

  test("rollback brings back routes, services and plugins with their code, also after a compaction", async (t) => {
    const plugin = (word: string): string => `import { defineMiddleware, z } from "headgate";
export default defineMiddleware({
  name: "word",
  config: z.strictObject({}),
  build: () => async (exchange, next) => {
    await next();
    exchange.response.headers.set("x-word", "${word}");
  },
});
`;
    const document = (text: string) => ({
      plugins: { word: { source: plugin(text) } },
      services: { up: { instances: [{ address: `127.0.0.1:${text.length}` }] } },
      routes: { word: { ...respondRoute("/word", text), use: ["word"] }, api: { match: { path: "/api/*" }, to: "up" } },
    });
    const answered = async (text: string): Promise<void> => {
      const response = await request(t, gateway.port, "/word");
      assert.deepEqual([response.text, response.get("x-word")], [text, text]);
    };
    const revisions: number[] = [];
    for (const text of ["one", "second", "thirdly"]) {
      await write("word.yaml", document(text));
      well(await run("apply", "-f", "word.yaml", "--prune", "--wait", "20s", "--message", text));
      revisions.push(await newestRevision());
      await answered(text);
    }
    const [one = 0, second = 0] = revisions;
    const dry = well(await run("rollback", String(one), "--dry-run"));
    assert.match(dry.stdout, /^~ plugins\/word$/m);
    await answered("thirdly");
    well(await run("rollback", String(one), "--wait", "20s", "--message", "back"));
    await answered("one");
    assert.deepEqual((await etcdState(etcd))["services/up"]?.value, document("one").services.up);
    assert.match(well(await run("history", "--limit", "1")).stdout, / rollback .* back$/m);

    await data.compact(await data.revision());
    const { stdout, stderr } = well(await run("rollback", String(second), "--wait", "20s"));
    assert.match(stdout + stderr, /recorded changes/);
    await answered("second");

    // What was written beside the tools is in no record: nobody knows what was there.
    await data.write({ "/headgate/routes/word": respondRoute("/word", "by hand") });
    await data.compact(await data.revision());
    const lost = await run("rollback", String(one));
    assert.equal(lost.code, 1);
    assert.match(lost.stderr, /no longer known: .*routes\/word was changed beside the recorded changes/);
    const future = await run("rollback", "999999");
    assert.equal(future.code, 1);
    assert.match(future.stderr, /Revision 999999 does not exist yet/);
    assert.equal((await run("rollback", "yesterday")).code, 2);
  });

  test("a thousand routes are several transactions, none of which leaves a route without its service", async (t) => {
    // Through a wire that can be cut, for a gateway that dies on the way.
    const wire = await faultProxy(t, etcd.clientPort);
    const second = new ManualScope();
    t.after(() => second.close());
    const weak = await startStoreGateway(second, wire.address, { env: compileCache });
    const before = await data.revision();
    const numbers = Array.from({ length: 1_000 }, (_, number) => number);
    const serviceOf = (number: number): string => `s${number % 300}`;
    await write("many.json", {
      services: Object.fromEntries(numbers.map((number) => [serviceOf(number), service])),
      routes: Object.fromEntries(
        numbers.map((number) => [`r${number}`, { match: { path: `/many/${number}` }, to: serviceOf(number) }]),
      ),
    });
    const file = path.join(gateway.directory, "many.json");
    const broken = ask(weak, ["apply", "-f", file, "--prune", "--message", "many"]);
    await waitFor(async () => Object.keys(await etcdState(etcd)).length > 100, { what: "a part to be written" });
    wire.stall();
    await weak.kill();
    const answer = await broken;
    assert.equal(answer.code, 3, answer.stdout + answer.stderr);
    const reached = Object.keys(await etcdState(etcd)).length;
    assert.ok(reached < 1_300, `all was written before it could break off: ${reached}`);
    assert.match(well(await run("history", "--limit", "1")).stdout, / apply \(in part\) .* many$/m);

    const { stdout } = well(await run("apply", "-f", file, "--prune", "--wait", "30s"));
    assert.match(stdout, /^[\d,]+ created.* in \d+ transactions: revision \d+/m);
    const state = await etcdState(etcd);
    assert.equal(Object.keys(state).length, 1_300);
    // Everything goes again: routes before what they lead to.
    await write("none.yaml", "routes: {}\n");
    well(await run("apply", "-f", "none.yaml", "--prune", "--wait", "30s"));
    assert.deepEqual(await etcdState(etcd), {});
    const revisions = (await data.revision()) - before;
    assert.ok(revisions > 20, `${revisions} revisions`);
    for (let revision = before + 1; revision <= before + revisions; revision++) {
      const ids = new Set((await data.keysAt("/headgate/", revision)).map((id) => id.slice("/headgate/".length)));
      const astray = [...ids].filter(
        (id) => /^routes\/r\d/.test(id) && !ids.has(`services/${serviceOf(Number(id.slice("routes/r".length)))}`),
      );
      assert.deepEqual(astray, [], `at revision ${revision}`);
    }
  });
});
