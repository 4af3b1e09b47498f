import { once } from "node:events";
import net from "node:net";
import { portOf } from "./ports.ts";
import type { Scope } from "./scope.ts";

export interface FaultProxy {
  readonly port: number;
  readonly address: string;
  /** Connections open through it now. */
  open(): number;
  /** Bytes stop in both directions; connections are still accepted. */
  stall(): void;
  /** Bytes flow again, those held back first. */
  resume(): void;
  /** Resets every open connection. */
  cut(): void;
  /** While refusing, a new connection is reset at once. */
  refuse(refusing: boolean): void;
}

/** A TCP relay to `127.0.0.1:targetPort` that misbehaves when told. Stands between the gateway and an instance. `port`: where it listens; default: a free one. */
export async function faultProxy(scope: Scope, targetPort: number, port = 0): Promise<FaultProxy> {
  const pairs = new Set<readonly [net.Socket, net.Socket]>();
  let stalled = false;
  let refusing = false;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (near) => {
    if (refusing) return void reset(near);
    const far = net.connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [from, to] of [pair, [far, near] as const]) {
      from.on("error", () => reset(to));
      from.on("close", () => pairs.delete(pair));
      from.on("data", (chunk) => {
        to.write(chunk);
      });
      from.on("end", () => to.end());
      if (stalled) from.pause();
      else from.resume();
    }
  });
  const cut = (): void => {
    for (const [near, far] of pairs) {
      reset(near);
      far.destroy();
    }
  };
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  scope.after(() => {
    cut();
    server.close();
  });
  const flow = (act: (socket: net.Socket) => void): void => {
    for (const pair of pairs) pair.forEach(act);
  };
  return {
    port: portOf(server),
    address: `127.0.0.1:${portOf(server)}`,
    open: () => pairs.size,
    stall: () => {
      stalled = true;
      flow((socket) => socket.pause());
    },
    resume: () => {
      stalled = false;
      flow((socket) => socket.resume());
    },
    cut,
    refuse: (value) => void (refusing = value),
  };
}

/** A socket that is being shut down refuses a reset, and node then leaves it open and hangs when the process ends. */
function reset(socket: net.Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
