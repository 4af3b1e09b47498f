import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { etcdMissing, startEtcd } from "../../tests/kit/etcd.ts";
import { Bell } from "../../tests/kit/wait.ts";

test("the greeter registers, and drains when it is stopped", { skip: etcdMissing }, async (t) => {
  const etcd = await startEtcd(t);
  const child = spawn(process.execPath, [join(import.meta.dirname, "greeter.ts")], {
    env: { ...process.env, PORT: "0", ETCD: etcd.endpoint },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  const bell = new Bell();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    bell.ring();
  });
  const saying = (pattern: RegExp): Promise<RegExpExecArray> =>
    bell.until(
      () => pattern.exec(said) ?? undefined,
      () => `${String(pattern)} in ${said}`,
      30_000,
    );

  const [, address = ""] = await saying(/greeter at (\S+) is registered/);
  assert.match(await etcd.ctl("get", "--prefix", "/services/greeter/"), new RegExp(`${address}\n{"status":"UP"}`));
  assert.equal(await (await fetch(`http://${address}`)).text(), "Good day\n");
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await saying(/now draining[\s\S]*is deregistered[\s\S]*drained/);
  assert.equal(await etcd.ctl("get", "--prefix", "/services/greeter/"), "");
  assert.deepEqual(await ended, [null, "SIGTERM"]);
});
