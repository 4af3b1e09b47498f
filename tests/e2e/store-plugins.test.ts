import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import { ask } from "../kit/command.ts";
import { etcdMissing } from "../kit/etcd.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import { request } from "../kit/client.ts";
import { startLoad, type Load, type Question } from "../kit/load.ts";
import { startPair, untilAnswered, well, type Pair } from "../kit/pair.ts";
import { ManualScope } from "../kit/scope.ts";
import { respondRoute, storeStatus, untilStatus } from "../kit/store.ts";
import { waitFor } from "../kit/wait.ts";

const skip = etcdMissing ?? false;

/** Middleware that writes a word into the answers, counts how often it is built and disposed of, and holds some memory. */
function greet(word: string, parts: { readonly top?: string; readonly build?: string } = {}): string {
  return `import { defineMiddleware, z } from "headgate";
const word = "${word}";
${parts.top ?? ""}
export default defineMiddleware({
  name: "greet",
  config: z.strictObject({}),
  build(_, kit) {
    ${parts.build ?? ""}
    kit.counter("greet_built_total", {}).add(1);
    const ballast = new Array(250_000).fill(word);
    return {
      async handle(exchange, next) {
        await next();
        exchange.response.headers.set("x-greet", ballast[ballast.length - 1]);
      },
      dispose: () => kit.counter("greet_disposed_total", {}).add(1),
    };
  },
});
`;
}

const workers = 2;
/** `HEADGATE_PLUGIN_UPDATES=200` for a longer look at memory. */
const updates = Number(process.env["HEADGATE_PLUGIN_UPDATES"] ?? 40);
const warmUp = 15;
const key = "/headgate/plugins/greet";
const route = { ...respondRoute("/greet", "ok"), use: ["greet"] };

/** Versions that cannot run: what says why, and where. */
const bad: readonly { readonly what: string; readonly source: string; readonly told: RegExp }[] = [
  { what: "a syntax error", source: greet("bad", { top: "const = 1;" }), told: /greet\.ts:3:7: / },
  {
    what: "an import of nothing",
    source: greet("bad", { top: 'import "nowhere";' }),
    told: /greet\.ts:3:8: .*nowhere/,
  },
  {
    what: "an error while it is loaded",
    source: greet("bad", { top: 'throw new Error("not today");' }),
    told: /greet\.ts:3:7: .*not today/,
  },
  {
    what: "a loop while it is loaded",
    source: greet("bad", { top: "for (;;);" }),
    told: /greet\.ts:3:\d+: .*does not finish/,
  },
  {
    what: "an error while it is built",
    source: greet("bad", { build: 'throw new Error("not with me");' }),
    told: /not with me/,
  },
  {
    what: "a loop while it is built",
    source: greet("bad", { build: "for (;;);" }),
    told: /greet\.ts:8:\d+: .*does not finish/,
  },
  { what: "nothing exported", source: "export const nothing = 1;\n", told: /greet/ },
];

suite("plugins in a store, on two gateways", { skip }, () => {
  const scope = new ManualScope();
  let pair: Pair;
  let loads: Load[];
  before(async () => {
    pair = await startPair(scope, { workers });
  });
  after(() => scope.close());

  const put = async (source: string, ...flags: string[]) => {
    await writeFile(path.join(pair.a.directory, "greet.ts"), source);
    return ask(pair.a, ["put", "plugins", "greet", "-f", "greet.ts", ...flags]);
  };
  const word = async (gateway: GatewayProcess): Promise<string | undefined> => {
    return (await request(scope, gateway.port, "/greet")).get("x-greet");
  };
  /** On as many connections as it takes to meet every worker. */
  const untilAll = (wanted: string): Promise<unknown> => {
    const wrong = async (gateway: GatewayProcess): Promise<boolean> => {
      const words = await Promise.all(Array.from({ length: 12 }, () => word(gateway)));
      return words.some((one) => one !== wanted);
    };
    return waitFor(async () => !(await wrong(pair.a)) && !(await wrong(pair.b)), {
      what: `all to say ${wanted}`,
      deadlineMs: 20_000,
    });
  };
  const failures = (): string => loads.flatMap((load) => load.failures).join("\n");

  test("put makes code live on every worker of both, without a restart", async () => {
    const { a, b, both, data } = pair;
    const imported = greet("zero", { top: 'import { loud } from "./loud.ts";' }).replace(
      'const word = "zero"',
      'const word = loud("zero")',
    );
    await writeFile(
      path.join(a.directory, "loud.ts"),
      "export const loud = (text: string): string => text.toUpperCase();\n",
    );
    well(await put(imported));
    await data.write({ "/headgate/routes/greet": route });
    await untilAll("ZERO");
    const before = await Promise.all([storeStatus(a), storeStatus(b)]);
    assert.match(
      well(await put(greet("one"), "--wait", "20s")).stdout,
      /^~ plugins\/greet\n.*\n1 updated.*\nAll 2 gateways run it\.$/m,
    );
    await untilAll("one");
    for (const [index, gateway] of both.entries()) {
      const { pid, workers: now } = await storeStatus(gateway);
      assert.deepEqual([pid, now.map(({ restarts }) => restarts)], [before[index]?.pid, now.map(() => 0)]);
    }
    const said: Question = {
      target: "/greet",
      judge: (status, body, headers) =>
        status === 200 && body === "ok" && headers["x-greet"] !== undefined ? undefined : `${status} ${body}`,
    };
    loads = both.map(({ port }) => startLoad(scope, { port, questions: [said], connections: 4, pauseMs: 10 }));
  });

  for (const { what, source, told } of bad) {
    test(`${what} is refused with its place, and the old code serves on`, async () => {
      const { code, stderr } = await put(source);
      assert.equal(code, 1, stderr);
      assert.match(stderr, told);
      assert.match(stderr, /^headgate: Nothing was (?:changed|sent): 1 error\.$/m);
      await untilAll("one");
      assert.equal(failures(), "");
    });
  }

  test("code that loops with the first settings it gets stops no worker", async () => {
    const { a, both, data } = pair;
    const spin = greet("spin", { build: "while (forever) ;" })
      .replace("z.strictObject({})", "z.strictObject({ forever: z.boolean() })")
      .replace("build(_,", "build({ forever },");
    const use = (forever: boolean) => ({ ...respondRoute("/spin", "ok"), use: [{ spin: { forever } }] });
    const document = (forever: boolean): string =>
      JSON.stringify({ plugins: { spin: { source: spin } }, routes: { spin: use(forever) } });
    const apply = async (forever: boolean) => {
      await writeFile(path.join(a.directory, "spin.yaml"), document(forever));
      return ask(a, ["apply", "-f", "spin.yaml", "--wait", "20s"]);
    };
    const refused = await apply(true);
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /plugins\/spin\.ts:8:\d+: .*does not finish/);
    well(await apply(false));
    // The code runs; what a route brings to it is tried too.
    const put = await ask(a, ["put", "route", "spin", "-f", "-"], { input: JSON.stringify(use(true)) });
    assert.equal(put.code, 1, put.stderr);
    assert.match(put.stderr, /does not finish/);
    const revision = await data.write({
      "/headgate/routes/spin": use(true),
      "/headgate/routes/beside": respondRoute("/beside", "spin"),
    });
    await untilAnswered(scope, both, "/beside", "spin");
    for (const gateway of both) {
      const { problems, workers: now } = await untilStatus(
        gateway,
        "the rejection",
        ({ problems }) => problems.length > 0,
      );
      assert.deepEqual(
        problems.map((one) => [one.key, one.revision]),
        [["/headgate/routes/spin", revision]],
      );
      assert.deepEqual(
        now.map(({ restarts }) => restarts),
        now.map(() => 0),
      );
    }
    await untilAnswered(scope, both, "/spin", "ok");
    assert.equal(failures(), "");
    await data.write({ "/headgate/routes/spin": undefined, "/headgate/plugins/spin": undefined });
  });

  test("written beside the tools it is reported by both, nothing else is held up, and no request fails", async () => {
    const { both, data } = pair;
    for (const { what, source, told } of bad) {
      const revision = await data.write({ [key]: source });
      await data.write({ "/headgate/routes/beside": respondRoute("/beside", what) });
      await untilAnswered(scope, both, "/beside", what);
      for (const gateway of both) {
        const { problems } = await untilStatus(gateway, what, (now) =>
          now.problems.some((one) => one.revision === revision),
        );
        const [problem] = problems.filter((one) => one.key === key);
        assert.match(
          `${problem?.file}:${problem?.line}:${problem?.column}: ${problem?.message}`,
          told,
          JSON.stringify(problems),
        );
      }
    }
    await untilAll("one");
    assert.equal(failures(), "");
    await data.write({ [key]: greet("two") });
    await untilAll("two");
    for (const gateway of both) {
      const { problems, workers: now } = await storeStatus(gateway);
      assert.deepEqual([problems, now.map(({ restarts }) => restarts)], [[], now.map(() => 0)]);
    }
  });

  test(`${updates} updates under load fail no request, dispose of every old version and leave no memory behind`, async () => {
    const { a, b, data } = pair;
    // One is enough to show it; trying each version costs the machine half a second for each gateway.
    await loads[1]?.stop();
    await b.stop();
    let settledBytes = 0;
    for (let update = 1; update <= updates; update++) {
      await data.write({ [key]: greet(`update ${update}`) });
      // Each of them is to go live: changes that come together are taken over as one.
      await waitFor(async () => (await word(a)) === `update ${update}`, {
        what: `update ${update}`,
        deadlineMs: 20_000,
      });
      if (update === warmUp) settledBytes = residentBytes(a);
    }
    const grownMb = (residentBytes(a) - settledBytes) / 1e6;
    // 2 MB in each of two workers for each version: 100 MB if they stayed.
    assert.ok(grownMb < 60, `${grownMb.toFixed(0)} MB more than after ${warmUp} updates`);
    const counted = (name: string): Promise<number> => a.metric(`headgate_greet_${name}_total`);
    await waitFor(async () => (await counted("built")) - (await counted("disposed")) === workers, {
      what: "all but what runs to be disposed of",
    });
    assert.ok((await counted("built")) >= updates * workers);
    const [load] = loads;
    await load?.stop();
    assert.ok((load?.answered ?? 0) > updates, `${load?.answered} requests`);
    assert.equal(failures(), "");
  });
});

function residentBytes({ child: { pid } }: GatewayProcess): number {
  const pages = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1];
  return Number(pages) * 4_096;
}
