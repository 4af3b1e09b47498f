/** Inputs for the fuzzer: HTTP/1.1 byte streams from a grammar that likes the edges, then damaged byte by byte. */

import {
  methods,
  oddMethods,
  targets,
  oddTargets,
  versions,
  lineEnds,
  colons,
  names,
  oddNames,
  values,
  oddValues,
  hosts,
  oddHosts,
  lengths,
  codings,
  connections,
  chunkSizes,
  statuses,
  oddStatuses,
  dictionary,
} from "./vocabulary.ts";

export type Random = () => number;

/** A source of choices from a random number generator. */
class Choice {
  readonly #random: Random;
  constructor(random: Random) {
    this.#random = random;
  }
  below(count: number): number {
    return Math.floor(this.#random() * count);
  }
  chance(probability: number): boolean {
    return this.#random() < probability;
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T; // lists here are never empty
  }
  /** `usual` most of the time, else one of the odd ones. */
  mostly(usual: string, odd: readonly string[], oddShare = 0.04): string {
    return this.chance(oddShare) ? this.of(odd) : usual;
  }
}

function field(choice: Choice, name: string, value: string): string {
  return `${name}${choice.mostly(": ", colons, 0.02)}${value}${choice.mostly("\r\n", lineEnds, 0.012)}`;
}

function framingFields(choice: Choice): { fields: string[]; body: "none" | "length" | "chunked"; length: number } {
  const length = choice.below(12);
  switch (choice.below(10)) {
    case 0:
    case 1:
    case 2:
      return { fields: [], body: "none", length: 0 };
    case 3:
    case 4:
    case 5:
      return { fields: [lengthField(choice, length)], body: "length", length };
    case 6:
    case 7:
    case 8:
      return { fields: [codingField(choice)], body: "chunked", length };
    default: {
      // The smuggling shapes proper: two framings, or one of them twice.
      const fields = [
        choice.chance(0.6) ? lengthField(choice, length) : codingField(choice),
        choice.chance(0.4) ? lengthField(choice, length) : codingField(choice),
      ];
      return { fields, body: choice.chance(0.5) ? "chunked" : "length", length };
    }
  }
}

function lengthField(choice: Choice, length: number): string {
  const name = choice.of(["Content-Length", "content-length", "CONTENT-LENGTH"]);
  return field(choice, name, choice.mostly(String(length), lengths, 0.1));
}

function codingField(choice: Choice): string {
  const name = choice.mostly(
    "Transfer-Encoding",
    ["transfer-encoding", "TRANSFER-ENCODING", "Transfer-Encoding\t", "Transfer_Encoding", " Transfer-Encoding"],
    0.15,
  );
  return field(choice, name, choice.mostly("chunked", codings, 0.12));
}

const bodyAlphabet = "abcdef0123456789\r\n :;GETPOST/";

function data(choice: Choice, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) text += bodyAlphabet.charAt(choice.below(bodyAlphabet.length));
  return text;
}

function chunkedBody(choice: Choice): string {
  let text = "";
  for (let chunks = choice.below(4); chunks > 0; chunks--) {
    const length = choice.chance(0.05) ? 5 : 1 + choice.below(20);
    const size = choice.chance(0.5) ? length.toString(16) : length.toString(16).toUpperCase();
    text += `${choice.mostly(size, chunkSizes, 0.06)}${choice.mostly("\r\n", lineEnds, 0.02)}`;
    text += `${data(choice, choice.chance(0.02) ? length + 1 : length)}${choice.mostly("\r\n", lineEnds, 0.02)}`;
  }
  text += `${choice.mostly("0", ["00", "0;a", "0 ", "", "-0", "0x0", "0;a=b"], 0.08)}${choice.mostly("\r\n", lineEnds, 0.02)}`;
  for (let trailers = choice.chance(0.2) ? 1 + choice.below(2) : 0; trailers > 0; trailers--) {
    text += choice.mostly(
      otherField(choice),
      ["Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Host: b\r\n"],
      0.05,
    );
  }
  return text + choice.mostly("\r\n", lineEnds, 0.02);
}

function otherField(choice: Choice): string {
  return field(
    choice,
    choice.mostly(choice.of(names), oddNames, 0.04),
    choice.mostly(choice.of(values), oddValues, 0.05),
  );
}

function fieldsAndBody(choice: Choice, first: string[]): string {
  const framing = framingFields(choice);
  const fields = [...first, ...framing.fields];
  for (let more = choice.below(3); more > 0; more--) fields.push(otherField(choice));
  if (choice.chance(0.08)) fields.push(field(choice, "Connection", choice.of(connections)));
  if (choice.chance(0.03)) fields.push(field(choice, "Upgrade", "websocket"));
  if (choice.chance(0.3)) fields.reverse();
  const body =
    framing.body === "chunked" ? chunkedBody(choice) : framing.body === "length" ? data(choice, framing.length) : "";
  return `${fields.join("")}${choice.mostly("\r\n", lineEnds, 0.02)}${body}`;
}

function request(choice: Choice): string {
  const method = choice.mostly(choice.of(methods), oddMethods);
  const target = choice.mostly(choice.of(targets), oddTargets, 0.08);
  const version = choice.mostly("HTTP/1.1", versions, 0.04);
  const host = field(choice, choice.of(["Host", "host"]), choice.mostly(choice.of(hosts), oddHosts, 0.05));
  const first = choice.chance(0.02) ? [] : choice.chance(0.02) ? [host, host] : [host];
  const lead = choice.mostly("", ["\r\n", "\n", "\r", "\r\n\r\n", " ", "\0"], 0.02);
  const separator = choice.mostly(" ", ["  ", "\t", "", "\x0b", " \t"], 0.01);
  return `${lead}${method}${separator}${target} ${version}${choice.mostly("\r\n", lineEnds, 0.02)}${fieldsAndBody(choice, first)}`;
}

function response(choice: Choice): string {
  const version = choice.mostly("HTTP/1.1", [...versions, "ICY", "HTTP", "\r\nHTTP/1.1"], 0.06);
  const status = choice.mostly(choice.of(statuses), oddStatuses, 0.06);
  return `${version} ${status}${choice.mostly("\r\n", lineEnds, 0.02)}${fieldsAndBody(choice, [])}`;
}

/** Damages a stream: bytes inserted, removed, replaced, repeated; the end cut off. */
function mutate(choice: Choice, text: string): string {
  let damaged = text;
  for (let times = 1 + choice.below(3); times > 0; times--) {
    const at = choice.below(damaged.length + 1);
    const before = damaged.slice(0, at);
    switch (choice.below(6)) {
      case 0:
        damaged = before + choice.of(dictionary) + damaged.slice(at);
        break;
      case 1:
        damaged = before + damaged.slice(at + 1 + choice.below(3));
        break;
      case 2:
        damaged = before + String.fromCharCode(choice.below(256)) + damaged.slice(at + 1);
        break;
      case 3: {
        const length = choice.below(12);
        damaged = before + damaged.slice(at, at + length) + damaged.slice(at);
        break;
      }
      case 4:
        // One bit: the nearest misses of every token.
        damaged =
          before + String.fromCharCode((damaged.charCodeAt(at) & 255) ^ (1 << choice.below(8))) + damaged.slice(at + 1);
        break;
      default:
        if (choice.chance(0.3)) damaged = before;
    }
  }
  return damaged;
}

function stream(random: Random, one: (choice: Choice) => string): string {
  const choice = new Choice(random);
  let text = "";
  for (let count = 1 + choice.below(3); count > 0; count--) text += one(choice);
  return choice.chance(0.6) ? mutate(choice, text) : text;
}

/** One to three pipelined requests, most of them damaged, as latin1 text. */
export function generateRequests(random: Random): string {
  return stream(random, request);
}

/** One to three responses as an instance might send them, most of them damaged, as latin1 text. */
export function generateResponses(random: Random): string {
  return stream(random, response);
}
