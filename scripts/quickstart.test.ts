import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { freePort, portOf } from "../tests/kit/ports.ts";
import { waitFor } from "../tests/kit/wait.ts";
import { linesToTry } from "./quickstart.ts";
import { read, root } from "./tree.ts";

const script = join(root, "scripts/quickstart.ts");
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

/** What `npm start` runs, on free ports and with a copy of the document, so that the tree stays as it is. */
async function startQuickstart(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "headgate-quickstart-"));
  const file = join(directory, "quickstart.yaml");
  // Whoever has tried the last line has edited the tree's document.
  writeFileSync(file, read("examples/quickstart.yaml").replace("Bonjour", "Hello"));
  const listen = `127.0.0.1:${await freePort()}`;
  const flags = ["-c", file, "--listen", listen, "--admin", `127.0.0.1:${await freePort()}`, "--data-dir", directory];
  // Through npm, as users do: what supervises `npm start` ends npm, and nothing must be left behind.
  const child = spawn("npm", ["start", "--silent", "--", ...flags, "--workers", "1"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = { text: "" };
  child.stdout.on("data", (chunk: Buffer) => void (log.text += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => void (log.text += chunk.toString()));
  t.after(async () => {
    if (child.exitCode === null && child.kill("SIGTERM")) await once(child, "exit");
    rmSync(directory, { recursive: true });
  });
  await waitFor(() => log.text.includes("Ctrl-C") || child.exitCode !== null, {
    what: () => `the quickstart: ${log.text}`,
    deadlineMs: 40_000,
  });
  assert.equal(child.exitCode, null, log.text);
  return { child, log, file, url: `http://${listen}` };
}

const shell = (line: string): string => spawnSync("sh", ["-c", line], { cwd: root, encoding: "utf8" }).stdout;

test(
  "every line that npm start prints does what it says, and SIGTERM ends everything",
  { skip: hasCurl ? false : "curl is not installed" },
  async (t) => {
    const { child, log, file, url } = await startQuickstart(t);
    const lines = [...log.text.matchAll(/^ {4}((?:curl|sed) .*)$/gm)].map(([, line = ""]) => line);
    assert.equal(lines.length, 5, log.text);
    const [proxied = "", limited = "", refused = "", admitted = "", edited = ""] = lines;

    const servers = [shell(proxied), shell(proxied)].map(
      (text) => JSON.parse(text) as { name: string; servedBy: string },
    );
    assert.deepEqual(
      servers.map(({ name }) => name),
      ["Ada", "Ada"],
    );
    assert.notEqual(servers[0]?.servedBy, servers[1]?.servedBy);

    assert.deepEqual(shell(limited).trim().split("\n"), ["200", "200", "200", "429", "429"]);
    assert.match(shell(refused), /^HTTP\/1\.1 401 .*"code":"HG_UNAUTHENTICATED"/s);
    assert.match(shell(admitted), /^HTTP\/1\.1 200 .*analytical engine/s);

    assert.equal(shell(`curl -s ${url}/hello`), "Hello from the gateway\n");
    shell(edited);
    assert.match(readFileSync(file, "utf8"), /Bonjour/);
    await waitFor(() => shell(`curl -s ${url}/hello`) === "Bonjour from the gateway\n", {
      what: "the edit to be live",
    });

    child.kill("SIGTERM");
    await once(child, "close"); // npm's own exit code depends on its version
    assert.equal(spawnSync("curl", ["-s", `${url}/hello`]).status, 7, `nothing listens any more: ${log.text}`);
  },
);

test("a port that is taken is named, with two ways to choose another", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = `127.0.0.1:${portOf(server)}`;
  const child = spawn(process.execPath, [script, "--listen", address], {
    cwd: root,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => void (said += chunk.toString()));
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 1);
  assert.match(said, new RegExp(`^${address} is taken.*npm start -- --listen .*HEADGATE_LISTEN=`));
});

test("the README has the lines that npm start prints", () => {
  const readme = read("README.md");
  for (const [, line] of linesToTry("http://127.0.0.1:8080", "$TOKEN", "examples/quickstart.yaml")) {
    const shown = line.replaceAll("'Authorization: Bearer $TOKEN'", '"Authorization: Bearer $TOKEN"');
    assert.ok(readme.includes(`\n${shown}\n`), `README.md lacks: ${shown}`);
  }
});
