/** The commands as users run them: processes of their own, against a gateway with its own store. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { repositoryRoot } from "../kit/gateway.ts";
import { freePort } from "../kit/ports.ts";
import { waitFor } from "../kit/wait.ts";

const launcher = join(repositoryRoot, "packages/gateway/bin/headgate");

/** A gateway without a document, and its commands in the directory it was started in. */
async function running(t: TestContext) {
  const cwd = await mkdtemp(join(tmpdir(), "headgate-commands-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  const env = { ...process.env, HEADGATE_ADMIN: `127.0.0.1:${adminPort}` };
  const gateway = spawn(launcher, ["start", "--listen", `127.0.0.1:${port}`, "--workers", "0"], {
    cwd,
    env,
    stdio: "ignore",
  });
  t.after(async () => {
    const ended = once(gateway, "exit");
    if (gateway.exitCode === null && gateway.kill("SIGKILL")) await ended;
    await rm(cwd, { recursive: true, force: true });
  });
  const isReady = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${adminPort}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  await waitFor(isReady, { what: "the gateway", deadlineMs: 30_000 });
  const headgate = async (...args: string[]) => {
    const child = spawn(launcher, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
    return { out, err, code: code as unknown };
  };
  const get = async (path: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } });
    return `${response.status} ${await response.text()} ${response.headers.get("x-greeting") ?? ""}`;
  };
  return { cwd, headgate, get };
}

const plugin = `import { z } from "zod";
import { defineMiddleware } from "headgate";
import { NAME } from "./name.ts";
export default defineMiddleware({
  name: "greet",
  config: z.strictObject({}),
  build: () => async (exchange, next) => {
    await next();
    exchange.response.headers.set("x-greeting", \`from \${NAME} $\${NAME}\`);
  },
});
`;

test("a configuration is applied, seen, changed and taken back, from documents to traffic", async (t) => {
  const { cwd, headgate, get } = await running(t);
  const document = (body: string): string =>
    `plugins: { greet: ./greet.ts }\nroutes:\n  a: { match: { path: /a }, use: [greet], respond: { body: ${body} } }\n`;
  await writeFile(join(cwd, "greet.ts"), plugin);
  await writeFile(join(cwd, "name.ts"), 'export const NAME = "ann";\n');
  await writeFile(join(cwd, "a.yaml"), document('"one $${NAME}"'));

  const first = await headgate("apply", "-f", "a.yaml", "--wait", "10s", "--message", "first");
  assert.equal(first.code, 0, first.err);
  assert.match(
    first.out,
    /^\+ plugins\/greet\n\+ routes\/a\n2 created: revision \d+ \(change \S+\)\nThe gateway runs it\.\n$/,
  );
  const revision = /revision (\d+)/.exec(first.out)?.[1] ?? "";
  assert.equal(await get("/a"), "200 one ${NAME} from ann $ann");
  const same = await headgate("diff", "-f", "a.yaml");
  assert.deepEqual([same.code, same.err], [0, ""], same.out);

  await writeFile(join(cwd, "a.yaml"), document("two"));
  const differs = await headgate("diff", "-f", "a.yaml");
  assert.equal(differs.code, 1);
  assert.match(differs.out, /respond\.body: .* -> "two"\n[^]*recent request/);
  const second = await headgate("apply", "-f", "a.yaml", "--wait", "10s", "--confirm", "1h");
  assert.match(second.out, /unless you keep it: headgate confirm/);
  assert.match((await headgate("status")).out, /takes itself back at/);
  assert.equal((await headgate("confirm")).code, 0);
  assert.match(await get("/a"), /^200 two/);

  const stale = await headgate("delete", "route", "a", "--if-match", revision);
  assert.equal(stale.code, 1, stale.out);
  const back = await headgate("rollback", revision, "--wait", "10s");
  assert.equal(back.code, 0, back.err);
  assert.match(await get("/a"), /^200 one/);
  const history = await headgate("history", "routes", "a", "-o", "json");
  const { changes } = JSON.parse(history.out) as { changes: { action: string; author: string }[] };
  assert.deepEqual(
    changes.map(({ action }) => action),
    ["rollback", "apply", "apply"],
  );
  assert.ok(changes.every(({ author }) => /^.+@.+$/.test(author)));
});

test("what is live is exported and applied again as it was", async (t) => {
  const { cwd, headgate, get } = await running(t);
  const consumer = "consumers: { ann: { keys: [a-key-of-sixteen-characters] } }\n";
  await writeFile(join(cwd, "a.yaml"), `${consumer}routes:\n  a: { match: { path: /a }, respond: { body: hi } }\n`);
  assert.equal((await headgate("apply", "-f", "a.yaml")).code, 0);
  assert.equal((await headgate("export", "-o", "shown.yaml")).code, 0);
  assert.equal((await headgate("export", "--secrets", "-o", "backup.yaml")).code, 0);
  assert.equal((await headgate("apply", "-f", "shown.yaml")).code, 1);
  assert.equal((await headgate("delete", "consumer", "ann")).code, 0);
  assert.equal((await headgate("delete", "route", "a", "--wait", "10s")).code, 0);
  assert.match(await get("/a"), /^404/);
  const restored = await headgate("apply", "-f", "backup.yaml", "--prune", "--wait", "10s");
  assert.equal(restored.code, 0, restored.err);
  assert.match(restored.out, /backup\.yaml:1:1: gateway: warning: is not applied/);
  assert.match(await get("/a"), /^200 hi/);
});
