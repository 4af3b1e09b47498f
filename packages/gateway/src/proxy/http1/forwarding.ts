import type { Client, ExchangeRequest } from "../exchange.ts";
import type { RequestHead } from "./parse-head.ts";
import { fieldLines, restoredLength } from "./write-head.ts";

/** Who this gateway is in `Via` (RFC 9110 §7.6.3). */
const pseudonym = "headgate";

/** How long the sender waits for the answer, in milliseconds. The name is Envoy's: meshes and libraries know it. */
const expectedField = "x-envoy-expected-rq-timeout-ms";

/** What a request's head says its sender waits for the answer; Infinity where it says nothing that can be read. */
export function expectedMs({ forwarding, fields }: RequestHead): number {
  const value = forwarding === undefined ? undefined : fields.get(expectedField);
  return value !== undefined && /^[1-9]\d{0,9}$/.test(value) ? Number(value) : Infinity;
}

/** Lines that are the same for every request of a connection whose peer is not trusted. */
export function connectionLines(client: Client): string {
  return `x-forwarded-for: ${client.peer}\r\nx-forwarded-proto: ${client.scheme}\r\nx-forwarded-port: ${client.localPort}\r\n`;
}

/** For an untrusted peer whatever it claims is replaced; for a trusted one it is kept and the peer added. */
export function forwardingLines(
  head: RequestHead,
  request: ExchangeRequest,
  client: Client,
  ownLines: string,
  trusted: boolean,
  id: () => string,
  extraNames: readonly string[] | undefined,
  instance: string,
  remainingMs: number,
): string {
  const { headers } = request;
  let leaveOut = head.hopByHop;
  let forwarded: string;
  if (head.forwarding === undefined || !trusted) {
    if (head.forwarding !== undefined) leaveOut = [...leaveOut, ...head.forwarding].sort((a, b) => a - b);
    forwarded = `${ownLines}x-forwarded-host: ${head.hostText}\r\n`;
  } else {
    leaveOut = [...leaveOut, ...head.forwarding.filter((at) => !isForwarded(headers.raw, headers.offsets, at))].sort(
      (a, b) => a - b,
    );
    forwarded = trustedLines(head, request, client);
  }
  // A Host is never taken out by its name alone (a client could nominate it), but an attempt may set another.
  if (head.hostAt >= 0 && extraNames?.includes("host") === true) {
    leaveOut = [...leaveOut, head.hostAt].sort((a, b) => a - b);
  }
  // Never 0, which to Envoy means that there is no limit.
  if (remainingMs !== Infinity) forwarded += `${expectedField}: ${Math.max(1, Math.floor(remainingMs))}\r\n`;
  const nominated = extraNames === undefined ? head.nominated : [...(head.nominated ?? []), ...extraNames];
  const set = extraNames === undefined ? headers.added : [...(headers.added ?? []), ...extraNames];
  if (set !== undefined) forwarded = withoutThose(forwarded, set);
  let text = fieldLines(headers, head.fieldsStart, leaveOut, nominated, extraNames) + forwarded;
  // HTTP/1.1 requires it; HTTP/1.0 does not, and a step may have removed it.
  if ((head.hostAt < 0 || headers.altered) && !headers.has("host") && extraNames?.includes("host") !== true) {
    text += `host: ${head.hostText === "" ? instance : head.hostText}\r\n`;
  }
  text += head.minorVersion === 0 ? `via: 1.0 ${pseudonym}\r\n` : `via: 1.1 ${pseudonym}\r\n`;
  if (!headers.has("x-request-id") && extraNames?.includes("x-request-id") !== true)
    text += `x-request-id: ${id()}\r\n`;
  if (head.framing === "chunked") text += "transfer-encoding: chunked\r\n";
  else if (headers.altered) text += restoredLength(headers, head.contentLength);
  if (head.upgrade) text += `connection: upgrade\r\nupgrade: ${upgradeOf(head)}\r\n`;
  return text;
}

/** Leaves out the forwarding lines that a step or a hook has set itself. `set`: their names, among other text. */
function withoutThose(lines: string, set: readonly string[]): string {
  const names = set
    .map((text) => text.toLowerCase())
    .filter((text) => text.startsWith("x-forwarded-") || text === expectedField);
  if (names.length === 0) return lines;
  return lines
    .split("\r\n")
    .filter((line) => line !== "" && !names.includes(line.slice(0, line.indexOf(":"))))
    .map((line) => `${line}\r\n`)
    .join("");
}

/** RFC 7239 Forwarded of a trusted proxy passes as it is. */
function isForwarded(raw: string, offsets: readonly number[], at: number): boolean {
  const start = offsets[at] ?? -1;
  return start < 0 || raw.slice(start, offsets[at + 1]).toLowerCase() === "forwarded";
}

function trustedLines(head: RequestHead, request: ExchangeRequest, client: Client): string {
  const { headers } = request;
  const before = headers.getAll("x-forwarded-for").join(", ");
  const proto = headers.get("x-forwarded-proto") ?? client.scheme;
  const host = headers.get("x-forwarded-host") ?? head.hostText;
  const port = headers.get("x-forwarded-port") ?? String(client.localPort);
  const chain = before === "" ? client.peer : `${before}, ${client.peer}`;
  return `x-forwarded-for: ${chain}\r\nx-forwarded-proto: ${proto}\r\nx-forwarded-host: ${host}\r\nx-forwarded-port: ${port}\r\n`;
}

function upgradeOf(head: RequestHead): string {
  const { raw, offsets } = head.fields;
  return raw.slice(offsets[head.upgradeAt + 2], offsets[head.upgradeAt + 3]);
}

/**
 * The client behind trusted proxies: X-Forwarded-For is read from the right and trusted addresses are skipped; the
 * first that is not trusted is the client. What a client wrote itself stands further left and is never reached.
 */
export function clientBehind(client: Client, head: RequestHead, trusted: (ip: string) => boolean): Client {
  if (head.forwarding === undefined) return client;
  const addresses = head.fields
    .getAll("x-forwarded-for")
    .join(",")
    .split(",")
    .map(bareAddress)
    .filter((part) => part !== "");
  let ip = client.peer;
  for (let i = addresses.length - 1; i >= 0; i--) {
    ip = addresses[i] ?? ip;
    if (!trusted(ip)) break;
  }
  const proto = head.fields.get("x-forwarded-proto")?.toLowerCase();
  const scheme = proto === "https" || proto === "http" ? proto : client.scheme;
  return { ...client, ip, scheme };
}

/** `[2001:db8::1]:4711` and `192.0.2.1:80` without brackets and port; what is no address becomes empty. */
function bareAddress(text: string): string {
  const trimmed = text.trim();
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(trimmed);
  if (bracketed !== null) return bracketed[1] ?? "";
  const dotted = /^(\d{1,3}(?:\.\d{1,3}){3})(?::\d+)?$/.exec(trimmed);
  if (dotted !== null) return dotted[1] ?? "";
  return /^[0-9a-fA-F:.]+$/.test(trimmed) ? trimmed : "";
}

/** IPv4 in dotted form also where it came mapped into IPv6. */
export function plainIp(ip: string): string {
  return ip.startsWith("::ffff:") && ip.includes(".") ? ip.slice(7) : ip;
}
