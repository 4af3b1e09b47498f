import { once } from "node:events";
import dgram from "node:dgram";
import net, { isIPv4 } from "node:net";
import type { Scope } from "./scope.ts";

export type DnsRecord =
  | { readonly type: "A" | "AAAA"; readonly address: string; readonly ttl: number }
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
      readonly ttl: number;
    };

/**
 * What a question is answered with. `nothing` is a name without records of that type; `silence` no answer; `garbage`
 * bytes that are no answer; `half` an answer whose end is missing.
 */
export type DnsReply =
  readonly DnsRecord[] | "nothing" | "NXDOMAIN" | "SERVFAIL" | "REFUSED" | "silence" | "garbage" | "half";

/** A DNS server on UDP and TCP, at the same port of 127.0.0.1. */
export interface DnsServer {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** `A users.internal`, as they came; those over TCP begin with `tcp `. */
  readonly queries: readonly string[];
  /** By `A users.internal`; what is not here does not exist. Changed in place by the test. */
  readonly zone: Map<string, DnsReply>;
  /** Goes before the zone while it is set. */
  all: DnsReply | undefined;
  /** While true answers over UDP are cut: they say so, and hold no record. */
  truncating: boolean;
}

const types = new Map([
  [1, "A"],
  [28, "AAAA"],
  [33, "SRV"],
]);
const rcodes: Readonly<Record<string, number>> = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };

/** Starts one; ended with the test. */
export async function dnsServer(scope: Scope): Promise<DnsServer> {
  const { udp, tcp, port } = await bind();
  scope.after(() => {
    udp.close();
    tcp.close();
  });
  const queries: string[] = [];
  const server: DnsServer = {
    address: `127.0.0.1:${port}`,
    queries,
    zone: new Map(),
    all: undefined,
    truncating: false,
  };
  udp.on("message", (message, from) => {
    const reply = answer(server, queries, message, false);
    if (reply !== undefined) udp.send(reply, from.port, from.address);
  });
  tcp.on("connection", (socket) => {
    scope.after(() => void socket.destroy());
    let received = Buffer.alloc(0);
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const length = received.readUInt16BE(0);
        const reply = answer(server, queries, received.subarray(2, 2 + length), true);
        received = received.subarray(2 + length);
        if (reply !== undefined) socket.write(Buffer.concat([uint16(reply.length), reply]));
      }
    });
  });
  return server;
}

/** The same port for both; another process may have one of them. */
async function bind(): Promise<{ udp: dgram.Socket; tcp: net.Server; port: number }> {
  for (let tries = 0; tries < 50; tries++) {
    const udp = dgram.createSocket("udp4").bind(0, "127.0.0.1");
    await once(udp, "listening");
    const { port } = udp.address();
    const tcp = net.createServer().listen(port, "127.0.0.1");
    const listens = await Promise.race([
      once(tcp, "listening").then(() => true),
      once(tcp, "error").then(() => false),
    ]).catch(() => false);
    if (listens) return { udp, tcp, port };
    udp.close();
  }
  throw new Error("no port is free for both UDP and TCP");
}

function answer(server: DnsServer, queries: string[], query: Buffer, isTcp: boolean): Buffer | undefined {
  const { name, type, end } = readQuestion(query);
  queries.push(`${isTcp ? "tcp " : ""}${type} ${name}`);
  const reply = server.all ?? server.zone.get(`${type} ${name}`) ?? "NXDOMAIN";
  if (reply === "silence") return undefined;
  const header = Buffer.from(query.subarray(0, 12));
  const question = query.subarray(12, end);
  const cut = server.truncating && !isTcp;
  const records = typeof reply === "string" || cut ? [] : reply;
  const rcode = typeof reply === "string" ? (rcodes[reply] ?? 0) : 0;
  // A reply, recursion available; cut short if so.
  header.writeUInt16BE(0x8180 | (cut ? 0x0200 : 0) | rcode, 2);
  header.writeUInt16BE(reply === "half" ? 1 : records.length, 6);
  header.writeUInt32BE(0, 8);
  if (reply === "garbage") return Buffer.concat([header.subarray(0, 4), Buffer.alloc(40, 0xff)]);
  return Buffer.concat([header, question, ...records.map(encode)]);
}

function readQuestion(query: Buffer): { name: string; type: string; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = types.get(query.readUInt16BE(at + 1)) ?? "other";
  return { name: labels.join(".").toLowerCase(), type, end: at + 5 };
}

function encode(record: DnsRecord): Buffer {
  const data =
    record.type === "SRV"
      ? Buffer.concat([uint16(record.priority), uint16(record.weight), uint16(record.port), encodeName(record.target)])
      : encodeAddress(record.address);
  const type = { A: 1, AAAA: 28, SRV: 33 }[record.type];
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttl);
  // 0xc00c: the name of the question.
  return Buffer.concat([uint16(0xc00c), uint16(type), uint16(1), ttl, uint16(data.length), data]);
}

function encodeName(name: string): Buffer {
  const labels = name.split(".").filter((label) => label !== "");
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, "latin1")])),
    Buffer.of(0),
  ]);
}

/** IPv6 with at most one `::`. */
function encodeAddress(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  const [left = "", right] = address.split("::");
  const groups = (text: string): string[] => text.split(":").filter((group) => group !== "");
  const behind = groups(right ?? "");
  const front = groups(left);
  const all = [...front, ...Array.from({ length: 8 - front.length - behind.length }, () => "0"), ...behind];
  return Buffer.concat(all.map((group) => uint16(Number.parseInt(group, 16))));
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
