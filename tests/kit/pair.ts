import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { ask, compileCache, type CommandEnd } from "./command.ts";
import { request } from "./client.ts";
import { EtcdData } from "./etcd-data.ts";
import { startEtcd, type Etcd } from "./etcd.ts";
import type { GatewayOptions, GatewayProcess } from "./gateway.ts";
import type { Scope } from "./scope.ts";
import { startStoreGateway } from "./store.ts";
import { waitFor } from "./wait.ts";

/** Two gateways on one etcd, as processes. */
export interface Pair {
  readonly etcd: Etcd;
  readonly data: EtcdData;
  readonly a: GatewayProcess;
  readonly b: GatewayProcess;
  readonly both: readonly [GatewayProcess, GatewayProcess];
}

/** `scope` must clean up newest first. */
export async function startPair(scope: Scope, options: GatewayOptions = {}): Promise<Pair> {
  const etcd = await startEtcd(scope);
  const address = `127.0.0.1:${etcd.clientPort}`;
  const start = (): Promise<GatewayProcess> => {
    return startStoreGateway(scope, address, { ...options, env: { ...compileCache, ...options.env } });
  };
  const [a, b] = await Promise.all([start(), start()]);
  return { etcd, data: new EtcdData(etcd.endpoint), a, b, both: [a, b] };
}

/** Writes a document beside a gateway's own and applies it there. Fails where the command does. */
export async function apply(gateway: GatewayProcess, document: object, ...flags: string[]): Promise<CommandEnd> {
  await writeFile(path.join(gateway.directory, "apply.yaml"), JSON.stringify(document));
  return well(await ask(gateway, ["apply", "-f", "apply.yaml", ...flags]));
}

/** What a command printed, if it did what it was asked. */
export function well(end: CommandEnd): CommandEnd {
  assert.equal(end.code, 0, `exit code ${end.code}\n${end.stdout}${end.stderr}`);
  return end;
}

/** Waits until every gateway answers a path with a body. */
export async function untilAnswered(
  scope: Scope,
  gateways: readonly GatewayProcess[],
  target: string,
  body: string,
  deadlineMs = 20_000,
): Promise<void> {
  for (const gateway of gateways) {
    let last = "";
    await waitFor(
      async () => {
        last = (await request(scope, gateway.port, target)).text;
        return last === body;
      },
      { what: () => `${target} to answer ${body}, not ${last}; log: ${gateway.logs.stderr.slice(-2_000)}`, deadlineMs },
    );
  }
}
