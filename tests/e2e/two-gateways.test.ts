import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { after, before, suite, test } from "node:test";
import { ask, compileCache } from "../kit/command.ts";
import { etcdMissing } from "../kit/etcd.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import { apply, startPair, untilAnswered, well, type Pair } from "../kit/pair.ts";
import { ManualScope } from "../kit/scope.ts";
import { etcdState, respondRoute, startStoreGateway, storeStatus, untilStatus } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const skip = etcdMissing ?? false;

suite("two gateways on one etcd", { skip }, () => {
  const scope = new ManualScope();
  let pair: Pair;
  before(async () => {
    pair = await startPair(scope);
  });
  after(() => scope.close());

  test("apply --wait returns when both run it, and names the one that does not", async (t) => {
    const { a, b, both } = pair;
    const { stdout } = await apply(a, { routes: { hello: respondRoute("/hello", "one") } }, "--wait", "20s");
    assert.match(stdout, /^\+ routes\/hello$/m);
    assert.match(stdout, /^1 created: revision \d+ \(change \S+\)$/m);
    assert.match(stdout, /^All 2 gateways run it\.$/m);
    await untilAnswered(t, both, "/hello", "one", 1);

    const { node } = await storeStatus(b);
    b.signal("SIGSTOP");
    try {
      const args = ["put", "route", "hello", "-f", "-", "--wait", "1s"];
      const behind = await ask(a, args, { input: JSON.stringify(respondRoute("/hello", "two")) });
      assert.equal(behind.code, 1, behind.stdout + behind.stderr);
      assert.match(
        behind.stdout,
        new RegExp(`^${node} does not run it: It still ran revision \\d+ after 1\\.\\d s\\.$`, "m"),
      );
    } finally {
      b.signal("SIGCONT");
    }
    // Nothing differs any more; it is waited for all the same.
    const again = await apply(a, { routes: { hello: respondRoute("/hello", "two") } }, "--wait", "20s");
    assert.match(again.stdout, /^Nothing differs from revision \d+\.\nAll 2 gateways run it\.$/m);
    await untilAnswered(t, both, "/hello", "two", 1);
  });

  test("apply --wait names a gateway that rejects a part, and why; explain names the file or the key", async () => {
    const { a, etcd } = pair;
    // Its own file gives the key to somebody else.
    const document = {
      consumers: { bob: { keys: ["key-of-bob-0123456789"] } },
      routes: { own: respondRoute("/own", "own") },
    };
    const third = new ManualScope();
    try {
      const c = await startStoreGateway(third, `127.0.0.1:${etcd.clientPort}`, { document, env: compileCache });
      await untilStatus(a, "three gateways", ({ nodes }) => nodes.length === 3);
      const { node } = await storeStatus(c);
      const answer = await ask(a, ["put", "consumer", "ann", "-f", "-", "--wait", "20s"], {
        input: "keys: [key-of-bob-0123456789]",
      });
      assert.equal(answer.code, 1, answer.stdout + answer.stderr);
      const line =
        answer.stdout.split("\n").find((text) => text.startsWith(`${node} does not run it: `)) ?? answer.stdout;
      assert.match(line, /It rejected consumers\/ann: /);
      assert.ok(!answer.stdout.includes("key-of-bob"), "the key is shown");
      assert.equal(answer.stdout.match(/does not run it/g)?.length, 1, answer.stdout);
      const { rejected } = (await storeStatus(a)).nodes.find(({ id }) => id === node) ?? {};
      assert.deepEqual(
        rejected?.map(({ kind, name, key }) => ({ kind, name, key })),
        [{ kind: "consumers", name: "ann", key: "/headgate/consumers/ann" }],
      );
      const status = well(await ask(a, ["status"])).stdout;
      assert.match(status, new RegExp(`^${node}\\s+\\d+\\s+live\\s+1 `, "m"));
      assert.match(status, new RegExp(`${node} rejects consumers/ann \\(revision \\d+\\): .*bob`));

      const own = well(await ask(c, ["explain", "GET", "http://any.example/own"])).stdout;
      assert.match(own, /headgate\.yaml:\d+/);
      const { "routes/hello": hello } = await etcdState(etcd);
      const stored = well(await ask(c, ["explain", "GET", "http://any.example/hello"])).stdout;
      assert.ok(stored.includes(`/headgate/routes/hello (revision ${hello?.revision})`), stored);
      const listed = well(await ask(c, ["get", "routes"])).stdout;
      assert.match(listed, /^own +file +live/m);
      const refused = await ask(c, ["delete", "route", "own"]);
      assert.equal(refused.code, 1, refused.stderr);
    } finally {
      await third.close();
      well(await ask(a, ["delete", "consumer", "ann"]));
    }
  });

  test("eight writers at both gateways lose no change of one number with If-Match", async () => {
    const { a, both, etcd } = pair;
    const [writersEach, stepsEach] = [4, 5];
    const put = (gateway: GatewayProcess, value: unknown, headers: Record<string, string>): Promise<Response> => {
      const type = { "content-type": "application/json" };
      return gateway.admin("/v1/routes/number", {
        method: "PUT",
        headers: { ...type, ...headers },
        body: JSON.stringify(value),
      });
    };
    assert.equal((await put(a, respondRoute("/number", "0"), {})).status, 201);
    let conflicts = 0;
    const step = async (gateway: GatewayProcess): Promise<boolean> => {
      const read = await gateway.admin("/v1/routes/number");
      // Its own copy may not have the route yet: that is a conflict too.
      if (read.status === 404) return false;
      const value = (await read.json()) as { respond: { body: string } }; // what is written here
      value.respond.body = String(Number(value.respond.body) + 1);
      const written = await put(gateway, value, { "if-match": read.headers.get("etag") ?? "" });
      await written.text();
      if (written.status === 200) return true;
      assert.equal(written.status, 412);
      assert.match(written.headers.get("etag") ?? "", /^"\d+"$/);
      return false;
    };
    const writer = async (gateway: GatewayProcess): Promise<void> => {
      for (let done = 0; done < stepsEach;) {
        if (await step(gateway)) done++;
        else conflicts++;
      }
    };
    await Promise.all(both.flatMap((gateway) => Array.from({ length: writersEach }, () => writer(gateway))));
    const { "routes/number": number } = await etcdState(etcd);
    const body = String(2 * writersEach * stepsEach);
    assert.deepEqual(number?.value, respondRoute("/number", body), `${conflicts} conflicts`);
    assert.ok(conflicts > 0, "nobody was in anybody's way: this shows nothing");
    await untilAnswered(scope, both, "/number", body);
  });

  test("events tell of changes, rejections and gateways that come and go", async (t) => {
    const { b, data, etcd } = pair;
    const stop = new AbortController();
    t.after(() => stop.abort());
    const response = await b.admin("/v1/events", { signal: stop.signal });
    assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
    let heard = "";
    const reading = (async () => {
      for await (const piece of response.body ?? []) heard += Buffer.from(piece).toString("utf8");
    })().catch(() => undefined);
    const told = (event: string, ...parts: string[]): Promise<unknown> => {
      const all = (block: string): boolean =>
        block.includes(`event: ${event}\n`) && parts.every((part) => block.includes(part));
      return waitFor(() => heard.split("\n\n").some(all), {
        what: () => `${event} ${parts.join()} in ${heard}`,
        deadlineMs: 20_000,
      });
    };
    const revision = await data.write({ "/headgate/routes/news": respondRoute("/news", "1") });
    await told("change", `"revision":${revision}`, '{"kind":"routes","name":"news","action":"create"}');
    await data.write({ "/headgate/routes/news": "{" });
    await told("rejected", '"key":"/headgate/routes/news"', '"severity":"error"');
    await data.write({ "/headgate/routes/news": undefined });
    await told("rejected", '"problems":[]');
    await told("change", '{"kind":"routes","name":"news","action":"delete"}');
    const third = new ManualScope();
    const c = await startStoreGateway(third, `127.0.0.1:${etcd.clientPort}`, { env: compileCache });
    const { node } = await storeStatus(c);
    await told("node", `"id":"${node}"`, '"state":"joined"');
    await third.close();
    await told("node", `"id":"${node}"`, '"state":"left"');
    stop.abort();
    await reading;
  });

  test("a confirmed change stays", async (t) => {
    const { a, b, both } = pair;
    const before = (await storeStatus(b)).revision;
    const { stdout } = await apply(
      a,
      { routes: { hello: respondRoute("/hello", "kept") } },
      "--confirm",
      "3s",
      "--wait",
      "20s",
    );
    assert.match(stdout, /^It takes itself back at .+ unless you keep it: headgate confirm \S+$/m);
    const id = /headgate confirm (\S+)/.exec(stdout)?.[1] ?? "";
    // At the other gateway; the id is not needed where only one waits.
    well(await ask(b, ["confirm"]));
    assert.equal((await ask(b, ["confirm", id])).code, 1);
    await untilStatus(a, "nothing to wait for", ({ confirmations }) => confirmations.length === 0);
    // Past its time: only then its staying shows something.
    await pause(3_500);
    await untilAnswered(t, both, "/hello", "kept", 1);
    assert.ok((await storeStatus(b)).revision > before);
  });

  test("an unconfirmed change is taken back by the gateways themselves", async (t) => {
    const { a, b, both, etcd } = pair;
    await apply(
      a,
      { routes: { hello: respondRoute("/hello", "bad"), more: respondRoute("/more", "more") } },
      "--confirm",
      "1s",
    );
    await untilAnswered(t, both, "/hello", "kept");
    const state = await etcdState(etcd);
    assert.deepEqual(state["routes/hello"]?.value, respondRoute("/hello", "kept"));
    assert.equal(state["routes/more"], undefined);
    const { stdout } = well(await ask(b, ["history", "--limit", "1"]));
    assert.match(stdout, /unconfirmed of \S+ .*routes\/hello, routes\/more/);
  });

  test("also when the store is away at the end of the time: on each gateway, and in the store when it is back", async (t) => {
    const { a, both, etcd } = pair;
    await apply(a, { routes: { hello: respondRoute("/hello", "bad") } }, "--confirm", "2s", "--wait", "20s");
    await etcd.kill();
    await untilAnswered(t, both, "/hello", "kept");
    await etcd.restart();
    await waitFor(
      async () =>
        JSON.stringify((await etcdState(etcd))["routes/hello"]?.value) ===
        JSON.stringify(respondRoute("/hello", "kept")),
      { what: "the store to hold what was before" },
    );
    for (const gateway of both) await untilStatus(gateway, "the store", ({ store }) => store.connected);
    await untilAnswered(t, both, "/hello", "kept", 1);
    for (const gateway of both) {
      const { problems, confirmations } = await untilStatus(
        gateway,
        "nothing to wait for",
        (now) => now.confirmations.length === 0,
      );
      assert.deepEqual([problems, confirmations], [[], []]);
    }
  });

  test("also when the gateway that made it is dead", async (t) => {
    const { a, b, etcd } = pair;
    await apply(a, { routes: { hello: respondRoute("/hello", "bad") } }, "--confirm", "2s", "--wait", "20s");
    await a.kill();
    await untilAnswered(t, [b], "/hello", "kept");
    assert.deepEqual((await etcdState(etcd))["routes/hello"]?.value, respondRoute("/hello", "kept"));
  });
});
