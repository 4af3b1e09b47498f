/**
 * Instances of one service that can be made to fail. Usage: instances.ts CONTROL_PORT PORT...
 * Each answers 200 after 5 ms with its number in `x-instance`. `GET /set?instance=0&fault=hang` on the control port makes
 * one behave as named below, `fault=none` well again; `GET /arrivals?instance=0` answers the times of the requests that
 * reached it, in milliseconds since 1970, and forgets them. `/healthz` is answered well whatever the fault, as long as
 * the instance can be reached.
 */
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";

const faults = ["none", "500", "hang", "close", "reset-body", "slow", "slower", "short-body", "refuse"] as const;
type Fault = (typeof faults)[number];

const usualMs = 5;
const slowMs = 40 * usualMs;
const slowerMs = 5 * usualMs;
const body = JSON.stringify({ name: "Grace Hopper", born: 1906, note: "an answer of the usual kind" });

class Instance {
  fault: Fault = "none";
  arrivals: number[] = [];
  readonly #number: number;
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(number: number, port: number) {
    this.#number = number;
    this.#port = port;
    this.#listen();
  }

  set(fault: Fault): void {
    this.fault = fault;
    if (fault === "refuse") {
      this.#server?.close();
      this.#server = undefined;
      for (const socket of this.#sockets) socket.resetAndDestroy();
    } else if (this.#server === undefined) this.#listen();
  }

  #listen(): void {
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket)).listen(this.#port, "127.0.0.1");
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    if (this.fault === "close") {
      this.arrivals.push(Date.now());
      socket.end();
      return;
    }
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.latin1Slice();
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const isCheck = text.startsWith("GET /healthz");
        text = text.slice(end + 4);
        if (isCheck) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        else this.#answer(socket);
      }
    });
  }

  #answer(socket: Socket): void {
    this.arrivals.push(Date.now());
    const head = (status: string, length = body.length): string =>
      `HTTP/1.1 ${status}\r\nx-instance: ${this.#number}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
    const later = (ms: number, text: string): void => {
      setTimeout(() => socket.write(text), ms);
    };
    switch (this.fault) {
      case "hang":
      case "refuse":
        return;
      case "close":
        socket.end();
        return;
      case "500":
        socket.write(head("500 Internal Server Error") + body);
        return;
      case "reset-body":
        socket.write(head("200 OK") + body.slice(0, 20));
        setTimeout(() => socket.resetAndDestroy(), usualMs);
        return;
      case "short-body":
        socket.end(head("200 OK", body.length + 100) + body);
        return;
      case "slow":
        later(slowMs, head("200 OK") + body);
        return;
      case "slower":
        later(slowerMs, head("200 OK") + body);
        return;
      case "none":
        later(usualMs, head("200 OK") + body);
    }
  }
}

const [control = 0, ...ports] = process.argv.slice(2).map(Number);
const instances = ports.map((port, number) => new Instance(number, port));

createHttpServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://control");
  const instance = instances[Number(url.searchParams.get("instance") ?? 0)];
  const fault = faults.find((one) => one === url.searchParams.get("fault"));
  if (url.pathname === "/set" && fault !== undefined) instance?.set(fault);
  const arrivals = instance?.arrivals ?? [];
  if (url.pathname === "/arrivals" && instance !== undefined) instance.arrivals = [];
  response.end(JSON.stringify(url.pathname === "/arrivals" ? arrivals : []));
}).listen(control, "127.0.0.1");
