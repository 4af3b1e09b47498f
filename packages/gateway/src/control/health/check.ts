import http from "node:http";
import net from "node:net";
import { formatDuration, type HealthCheckSettings } from "@headgate/schema";
import type { Timers } from "../../core/timers.ts";
import { splitAddress } from "../../proxy/upstream/instance.ts";
import type { CheckResult } from "./check-state.ts";

/** So much of an answer is read; a text that is asked for must be in it. */
const bodyBytesMax = 64 * 1024;
/** An instance that answers with more head than this has something else to say. */
const headBytesMax = 16 * 1024;

/** Each check opens a connection of its own: one that no longer accepts any is found, however well its old ones do. */
const agent = new http.Agent({ keepAlive: false });

/** Checks one instance now. Does not reject. Ends early, in any result, when `stop` is raised. */
export type RunCheck = (settings: HealthCheckSettings, address: string, stop: AbortSignal) => Promise<CheckResult>;

/** Checks over real sockets. */
export function checkOver(timers: Timers): RunCheck {
  return async (settings, address, stop) => {
    const run = settings.type === "tcp" ? connect : ask;
    try {
      return await run(settings, address, stop, timers);
    } catch (error) {
      // A request that node would not make. The service's owner is told in the same way as of any other failure.
      return { passed: false, reason: `the check cannot be made: ${describe(error)}` };
    }
  };
}

interface Bounded {
  readonly result: Promise<CheckResult>;
  readonly pass: () => void;
  /** `reason` stands behind what was done: `: connection refused`. */
  readonly fail: (reason: string) => void;
}

/**
 * The first result counts, and after `timeoutMs` there is one. What is still coming from an instance then is read no
 * further; until then it is, because to hang up in the middle of an answer fills the instance's log.
 */
function bounded(
  what: string,
  settings: HealthCheckSettings,
  stop: AbortSignal,
  timers: Timers,
  connection: net.Socket | http.ClientRequest,
): Bounded {
  const { promise, resolve } = Promise.withResolvers<CheckResult>();
  const fail = (reason: string): void => resolve({ passed: false, reason: `${what}${atPort(settings)}${reason}` });
  const end = (reason: string): void => {
    fail(reason);
    connection.destroy();
  };
  const stopped = (): void => end(": stopped");
  const disarm = timers.after(settings.timeoutMs, () =>
    end(`: no answer within ${formatDuration(settings.timeoutMs)}`),
  );
  stop.addEventListener("abort", stopped);
  // Also after the result: what a connection that is of no use any more ends in is nobody's concern.
  connection.on("error", (error) => fail(`: ${describe(error)}`));
  connection.once("close", () => {
    disarm();
    stop.removeEventListener("abort", stopped);
    fail(": the connection was closed before an answer");
  });
  return { result: promise, pass: () => resolve({ passed: true }), fail };
}

function connect(
  settings: HealthCheckSettings,
  address: string,
  stop: AbortSignal,
  timers: Timers,
): Promise<CheckResult> {
  const socket = net.connect(placeOf(settings, address));
  const { result, pass } = bounded("connecting", settings, stop, timers, socket);
  socket.once("connect", () => {
    pass();
    socket.resume();
    socket.end();
  });
  return result;
}

function ask(settings: HealthCheckSettings, address: string, stop: AbortSignal, timers: Timers): Promise<CheckResult> {
  const { method, path, statuses, body } = settings;
  const request = http.request({
    ...placeOf(settings, address),
    ...{ agent, method, path, headers: headersOf(settings, address), maxHeaderSize: headBytesMax },
  });
  const { result, pass, fail } = bounded(`${method} ${path}`, settings, stop, timers, request);
  request.once("response", (response) => {
    const status = response.statusCode ?? 0;
    const isExpected = statuses.some(({ from, to }) => status >= from && status <= to);
    if (!isExpected) fail(` answered ${status}`);
    else if (body === undefined) pass();
    response.on("error", (error) => fail(`: ${describe(error)}`));
    readBody(response, request, body, (holds) => {
      if (holds) pass();
      else fail(` answered ${status} without "${body ?? ""}" in its first 64 KiB`);
    });
  });
  request.end();
  return result;
}

/** Reads at most 64 KiB; tells once, or where the answer breaks off not at all, whether they hold the text. */
function readBody(
  response: http.IncomingMessage,
  request: http.ClientRequest,
  text: string | undefined,
  tell: (holds: boolean) => void,
): void {
  const wanted = Buffer.from(text ?? "");
  const read = text === undefined ? undefined : Buffer.allocUnsafe(bodyBytesMax);
  let length = 0;
  response.on("data", (chunk: Buffer) => {
    // Each byte is looked at once, but for the text's length: an answer may come a byte at a time.
    const from = Math.max(0, length - wanted.length);
    read?.set(chunk.subarray(0, bodyBytesMax - length), length);
    length = Math.min(length + chunk.length, bodyBytesMax);
    if (read?.subarray(from, length).includes(wanted) === true) tell(true);
    if (length < bodyBytesMax) return;
    tell(false);
    request.destroy();
  });
  response.once("end", () => tell(false));
}

/** What a check connects to. */
function placeOf({ port }: HealthCheckSettings, address: string): { host: string; port: number } {
  const place = splitAddress(address);
  return { host: place.host, port: port ?? place.port };
}

function atPort({ port }: HealthCheckSettings): string {
  return port === undefined ? "" : ` at port ${port}`;
}

function headersOf({ host, headers }: HealthCheckSettings, address: string): Record<string, string> {
  return { "user-agent": "headgate-health-check", ...lowerCased(headers), host: host ?? address, connection: "close" };
}

function lowerCased(headers: HealthCheckSettings["headers"]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

const known: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was closed before an answer",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  ENOTFOUND: "the host has no address",
  EAI_AGAIN: "the host's address cannot be found at the moment",
  ETIMEDOUT: "connecting took too long",
};

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (code.startsWith("HPE_")) return "the answer is no HTTP/1.1";
  return known[code] ?? error.message;
}
