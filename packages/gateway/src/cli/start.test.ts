/** The command as users run it: a process of its own, through the launcher. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { deadPort } from "../../../../tests/kit/ports.ts";
import { waitFor } from "../../../../tests/kit/wait.ts";

const launcher = resolve(import.meta.dirname, "../../bin/headgate");

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "headgate-start-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function run(args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv; command?: string } = {}) {
  const { command = launcher, ...rest } = options;
  return spawnSync(command, [...args], { encoding: "utf8", timeout: 30_000, ...rest });
}

const document = (body: string): string =>
  `routes:\n  hello: { match: { path: /hello }, respond: { body: ${body} } }\n`;

const withDocument = ["-c", "headgate.yaml"];

/** A gateway in a folder with a document; `cwd`: in another one that is there. */
async function running(t: TestContext, args: readonly string[], cwd = folder(t)) {
  if (!existsSync(join(cwd, "headgate.yaml"))) writeFileSync(join(cwd, "headgate.yaml"), document("hi"));
  const flags = ["start", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", ...args];
  const child = spawn(launcher, flags, { cwd, stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const exited = once(child, "exit");
  const lines: Record<string, unknown>[] = [];
  let wake = (): void => {};
  let rest = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => {
    const parts = (rest + piece).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts.map((line) => JSON.parse(line) as Record<string, unknown>)); // the log is JSON lines
    wake();
  });
  const logged = async (text: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const line = lines.find((candidate) => String(candidate["msg"]).includes(text));
      if (line !== undefined) return line;
      const more = new Promise<"more">((done) => (wake = () => done("more")));
      const ended = exited.then(() => "ended" as const);
      assert.equal(
        await Promise.race([more, ended]),
        "more",
        `ended before it logged "${text}": ${JSON.stringify(lines)}`,
      );
    }
  };
  const listening = await logged("listens on");
  const [address] = listening["listening"] as string[]; // what start.ts logs
  const admin = `http://${String(listening["admin"])}`;
  const token = readFileSync(join(cwd, "data/admin-token"), "utf8").trim();
  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${admin}${path}`, { ...init, headers: { authorization: `Bearer ${token}`, ...init.headers } });
  return { cwd, child, exited, logged, lines, ask, url: `http://${address ?? ""}`, admin };
}

for (const workers of ["0", "2"]) {
  test(`with ${workers} workers it serves, follows an edit, refuses a broken one, and drains`, async (t) => {
    const { cwd, child, exited, logged, ask, url, admin } = await running(t, [...withDocument, "--workers", workers]);
    const hello = async (): Promise<string> =>
      (await fetch(`${url}/hello`, { headers: { connection: "close" } })).text();
    assert.equal((await fetch(`${admin}/readyz`)).status, 200);
    assert.equal(await hello(), "hi");
    writeFileSync(join(cwd, "headgate.yaml"), document("moin"));
    await logged("revision 2 is live");
    assert.equal(await hello(), "moin");
    writeFileSync(join(cwd, "headgate.yaml"), "routes:\n  hello: { respnd: {} }\n");
    await logged('unknown key "respnd"');
    await logged("revision 2 stays live");
    assert.equal(await hello(), "moin");
    const status = (await (await ask("/v1/status")).json()) as {
      revision: number;
      problems: { line: number }[];
      workers: unknown[];
    };
    assert.equal(status.revision, 2);
    assert.ok(status.problems.every((problem) => problem.line === 2));
    assert.equal(status.workers.length, Math.max(1, Number(workers)));
    assert.match(await (await fetch(`${admin}/metrics`)).text(), /^headgate_requests_total\{route="hello",.*\} 3$/m);
    child.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
  });
}

test("a worker that dies is replaced, serves what is live on the same port, and its counts stay", async (t) => {
  const { cwd, logged, url, admin } = await running(t, [...withDocument, "--workers", "1"]);
  const metric = async (pattern: RegExp): Promise<string> =>
    pattern.exec(await (await fetch(`${admin}/metrics`)).text())?.[1] ?? "";
  writeFileSync(
    join(cwd, "crash.ts"),
    `import { z } from "zod";
     import { defineMiddleware } from "headgate";
     export default defineMiddleware({
       name: "crash",
       config: z.strictObject({}),
       build: () => (exchange, next) => {
         if (exchange.request.search === "?now") setImmediate(() => { throw new Error("crash on request"); });
         return next();
       },
     });\n`,
  );
  writeFileSync(join(cwd, "headgate.yaml"), `plugins: { crash: ./crash.ts }\nglobal: [crash]\n${document("hi")}`);
  await logged("revision 2 is live");
  assert.equal(await (await fetch(`${url}/hello`)).text(), "hi");
  await fetch(`${url}/hello?now`)
    .then((answer) => answer.text())
    .catch(() => "the connection may go first");
  const line = await logged("ended and is replaced");
  assert.match(String(line["msg"]), /crash on request/);
  const hello = async (): Promise<string> => {
    for (;;) {
      try {
        return await (await fetch(`${url}/hello`)).text();
      } catch {
        // Between the end of the one and the start of the other nobody listens.
      }
    }
  };
  assert.equal(await hello(), "hi");
  assert.equal(await metric(/^headgate_worker_restarts_total (\d+)$/m), "1");
  assert.ok(Number(await metric(/^headgate_requests_total\{route="hello",.*status="200"\} (\d+)$/m)) >= 2);
});

test("a document with settings alone is served, and what is written into it later", async (t) => {
  const cwd = folder(t);
  writeFileSync(join(cwd, "headgate.yaml"), "gateway: { workers: 0 }\n");
  const { logged, url, admin } = await running(t, withDocument, cwd);
  assert.equal((await fetch(`${admin}/readyz`)).status, 200);
  assert.equal((await fetch(`${url}/hello`)).status, 404);
  writeFileSync(join(cwd, "headgate.yaml"), `gateway: { workers: 0 }\n${document("hi")}`);
  await logged("revision 2 is live");
  assert.equal(await (await fetch(`${url}/hello`)).text(), "hi");
});

test("without a document the store in the data directory is served, and what it holds outlives the process", async (t) => {
  const first = await running(t, ["--workers", "0"]);
  assert.equal((await fetch(`${first.admin}/readyz`)).status, 200);
  assert.equal((await fetch(`${first.url}/hello`)).status, 404);
  const body = JSON.stringify({ match: { path: "/hello" }, respond: { body: "stored" } });
  const put = await first.ask("/v1/routes/hello", {
    method: "PUT",
    body,
    headers: { "content-type": "application/json" },
  });
  assert.equal(put.status, 201, await put.text());
  await first.logged("is live");
  assert.equal(await (await fetch(`${first.url}/hello`, { headers: { connection: "close" } })).text(), "stored");
  first.child.kill("SIGTERM");
  assert.deepEqual(await first.exited, [0, null]);
  const second = await running(t, ["--workers", "0"], first.cwd);
  assert.equal(await (await fetch(`${second.url}/hello`)).text(), "stored");
});

test("a document above a store goes before it, name by name", async (t) => {
  const { ask, url, logged } = await running(t, [...withDocument, "--store", "embedded:", "--workers", "0"]);
  const headers = { "content-type": "application/json" };
  const stored = (path: string): object => ({ match: { path }, respond: { body: "stored" } });
  const body = JSON.stringify({ documents: [{ routes: { hello: stored("/hello"), more: stored("/more") } }] });
  const answer = await ask("/v1/apply", { method: "POST", headers, body });
  const applied = (await answer.json()) as { revision: number; warnings: { path: string; message: string }[] };
  assert.equal(answer.status, 200, JSON.stringify(applied));
  assert.equal(applied.warnings[0]?.path, "routes.hello");
  assert.match(applied.warnings[0].message, /goes before the store/);
  await logged(`revision ${applied.revision} is live`);
  const text = async (path: string): Promise<string> => (await fetch(`${url}${path}`)).text();
  assert.deepEqual([await text("/hello"), await text("/more")], ["hi", "stored"]);
});

test("a gateway that waits for its store is not ready, and ends in good order when it is asked to", async (t) => {
  const cwd = folder(t);
  const dead = await deadPort();
  const flags = ["start", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "0"];
  const child = spawn(launcher, [...flags, "--store", `etcd://127.0.0.1:${dead}`], {
    cwd,
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  const exited = once(child, "exit");
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (said += piece));
  await waitFor(() => said.includes("cannot be read"), { what: () => said });
  assert.ok(!said.includes("listens on"));
  child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  assert.match(said, /ends before it served anything/);
});

test("an address that is taken is told in one sentence, and the exit code is 1", async (t) => {
  const { cwd, url } = await running(t, [...withDocument, "--workers", "1"]);
  const taken = url.slice("http://".length);
  const second = run(["start", ...withDocument, "--listen", taken, "--admin", "127.0.0.1:0"], { cwd });
  assert.equal(second.status, 1);
  assert.match(second.stderr, new RegExp(`could not start: ${taken} is taken`));
});

for (const [what, args, status, text] of [
  ["no command", [], 2, /Usage: headgate/],
  ["an unknown command", ["strat"], 2, /Did you mean start/],
  ["a store of another kind", ["start", "--store", "redis://127.0.0.1"], 2, /--store: expected etcd:.*embedded:/],
  ["a document that is not there", ["start", "-c", "none.yaml"], 1, /none\.yaml.*does not exist/],
  [
    "a flag that is not valid",
    ["start", "-c", "ok.yaml", "--workers", "many"],
    2,
    /--workers: gateway\.workers: [^]*correct the flag/,
  ],
  ["the version", ["--version"], 0, /^\d+\.\d+\.\d+\n$/],
  ["help", ["start", "--help"], 0, /Examples:/],
] as const) {
  test(`${what} ends with ${status}`, (t) => {
    const cwd = folder(t);
    writeFileSync(join(cwd, "ok.yaml"), document("hi"));
    const { status: code, stdout, stderr } = run(args, { cwd });
    assert.equal(code, status, stderr);
    assert.match(stdout + stderr, text);
  });
}

test("the launcher follows links and takes its own node where the one on the PATH is too old", (t) => {
  const path = folder(t);
  const bin = join(path, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "node"), "#!/bin/sh\necho v20.1.0\n", { mode: 0o755 });
  symlinkSync(launcher, join(path, "headgate"));
  symlinkSync("../headgate", join(bin, "headgate"));
  const { status, stdout } = run(["--version"], {
    command: join(bin, "headgate"),
    env: { PATH: `${bin}:/usr/bin:/bin` },
  });
  assert.equal(status, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test("the launcher takes the node on the PATH where it is new enough", (t) => {
  const path = folder(t);
  writeFileSync(join(path, "node"), '#!/bin/sh\n[ "$1" = --version ] && echo v25.0.0 || echo "this one: $*"\n', {
    mode: 0o755,
  });
  const { stdout } = run(["check"], { env: { PATH: `${path}:/usr/bin:/bin` } });
  assert.match(stdout, /^this one: .*main\.(ts|js) check\n$/);
});

test("the launcher has compiled code kept among the user's caches, and nowhere where there are none", (t) => {
  const path = folder(t);
  writeFileSync(join(path, "node"), '#!/bin/sh\n[ "$1" = --version ] && echo v25.0.0 || echo "$NODE_COMPILE_CACHE"\n', {
    mode: 0o755,
  });
  const kept = (env: Record<string, string>) =>
    run(["check"], { env: { PATH: `${path}:/usr/bin:/bin`, ...env } }).stdout;
  assert.equal(kept({ HOME: path }), `${path}/.cache/headgate\n`);
  assert.equal(kept({ HOME: "/nowhere", XDG_CACHE_HOME: path }), `${path}/headgate\n`);
  assert.equal(kept({ HOME: path, NODE_COMPILE_CACHE: "/mine" }), "/mine\n");
  assert.equal(kept({ HOME: "/nowhere" }), "\n");
  assert.equal(kept({}), "\n");
});

test("the launcher says what is missing where there is no node at all", (t) => {
  const path = folder(t);
  const copy = join(path, "package/bin/headgate");
  mkdirSync(dirname(copy), { recursive: true });
  cpSync(launcher, copy);
  mkdirSync(join(path, "tools"));
  for (const tool of ["dirname", "readlink", "uname", "sh"]) symlinkSync(toolPath(tool), join(path, "tools", tool));
  const { status, stderr } = run(["start"], { command: copy, env: { PATH: join(path, "tools") } });
  assert.equal(status, 1);
  assert.match(stderr, /needs Node\.js 24 or newer/);
});

function toolPath(tool: string): string {
  return spawnSync("/bin/sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).stdout.trim();
}
