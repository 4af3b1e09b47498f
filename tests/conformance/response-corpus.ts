/** How instances lie, and what a client may see of it. Every second request must get its own answer and nothing else. */
export interface ResponseCase {
  readonly name: string;
  readonly method?: string;
  /** What the instance sends, latin1. */
  readonly answer: string;
  /** What it sends once the client has seen the head: then the gateway can no longer answer 502 instead. */
  readonly later?: string;
  /** Whether it closes then. Default: it waits for the next request. */
  readonly closes?: boolean;
  /** Status, or `cut`: the client sees the connection end in the middle of an answer. */
  readonly client: number | "cut";
  /** Of an answer that passes. */
  readonly body?: string;
}

const ok = (fields: string, body = ""): string => `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;

function refused(name: string, answer: string, closes = false): ResponseCase {
  return { name, answer, closes, client: 502 };
}

const heads: readonly ResponseCase[] = [
  refused("both framings", ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
  refused("two lengths", ok("Content-Length: 2\r\nContent-Length: 3\r\n", "abc")),
  refused("the same length twice", ok("Content-Length: 2\r\nContent-Length: 2\r\n", "ab")),
  ...["2, 2", "+2", "-2", "0x2", "2 2", "", "2;", "99999999999999999999"].map((length) =>
    refused(`Content-Length: ${JSON.stringify(length)}`, ok(`Content-Length: ${length}\r\n`, "ab")),
  ),
  ...["gzip, chunked", "chunked, chunked", "identity", "xchunked", "", "chunked;a", "\x0bchunked", "chunked\t"].map(
    (coding) =>
      refused(`Transfer-Encoding: ${JSON.stringify(coding)}`, ok(`Transfer-Encoding: ${coding}\r\n`, "0\r\n\r\n")),
  ),
  refused("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
  ...[
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 X",
    "HTTP/2 200 OK",
    "HTTP/1.1200 OK",
    "ICY 200 OK",
    "http/1.1 200 OK",
    "<html>",
    "SSH-2.0-OpenSSH_9",
    "HTTP/1.1 abc",
  ].map((line) => refused(`status line ${JSON.stringify(line)}`, `${line}\r\nContent-Length: 0\r\n\r\n`, true)),
  refused("bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", true),
  refused("bare LF behind a field", ok("X: y\nContent-Length: 0\r\n")),
  refused("bare CR in a value", ok("X: a\rb\r\nContent-Length: 0\r\n")),
  refused("a folded field", ok("X: a\r\n b\r\nContent-Length: 0\r\n")),
  refused("white space before a colon", ok("Content-Length : 2\r\n", "ab")),
  refused("NUL in a value", ok("X: a\0b\r\nContent-Length: 0\r\n")),
  refused("a field without a colon", ok("nonsense\r\nContent-Length: 0\r\n")),
  refused("a head without an end in sight", ok(`X: ${"x".repeat(300_000)}`)),
  refused(
    "a thousand fields",
    ok(`${Array.from({ length: 1000 }, (_, i) => `X-${i}: y\r\n`).join("")}Content-Length: 0\r\n`),
  ),
  refused(
    "101 that nobody asked for",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n",
  ),
  refused("nothing at all", "", true),
  refused("half a status line", "HTTP/1.", true),
  refused("half a head", "HTTP/1.1 200 OK\r\nContent-Le", true),
];

const chunkedStart = ok("Transfer-Encoding: chunked\r\n", "4\r\nhalf\r\n");

function cut(name: string, answer: string, later: string, closes = false): ResponseCase {
  return { name, answer, later, closes, client: "cut" };
}

const bodies: readonly ResponseCase[] = [
  cut("less than its length", ok("Content-Length: 10\r\n", "half"), "", true),
  cut("chunks without the last", chunkedStart, "", true),
  cut("half a chunk", ok("Transfer-Encoding: chunked\r\n", "8\r\nhalf"), "", true),
  cut("a chunk size that is none", chunkedStart, "zz\r\n"),
  cut("a chunk longer than its size", chunkedStart, "3\r\nhalf\r\n0\r\n\r\n"),
  cut("a chunk size with a sign", chunkedStart, "+1\r\nx\r\n0\r\n\r\n"),
  cut("a bare LF behind a chunk size", chunkedStart, "1\nx\r\n0\r\n\r\n"),
  cut("trailers that are none", chunkedStart, "0\r\nno field\r\n\r\n"),
  refused("a first chunk size that is none", ok("Transfer-Encoding: chunked\r\n", "zz\r\n")),
  refused("a first chunk longer than its size", ok("Transfer-Encoding: chunked\r\n", "3\r\nhalf\r\n0\r\n\r\n")),
];

const evil = ok("Content-Length: 4\r\n", "evil");

const surplus: readonly ResponseCase[] = [
  { name: "more than its length", answer: ok("Content-Length: 2\r\n", "okmore"), client: 200, body: "ok" },
  {
    name: "a second answer behind the first",
    answer: ok("Content-Length: 2\r\n", "ok") + evil,
    client: 200,
    body: "ok",
  },
  {
    name: "a second answer behind a chunked one",
    answer: ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n") + evil,
    client: 200,
    body: "ok",
  },
  { name: "a body to HEAD", method: "HEAD", answer: evil, client: 200, body: "" },
  {
    name: "an answer behind the one to HEAD",
    method: "HEAD",
    answer: ok("Content-Length: 4\r\n") + evil,
    client: 200,
    body: "",
  },
  {
    name: "a body with 204",
    answer: `HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil`,
    client: 204,
    body: "",
  },
  {
    name: "a body with 304",
    answer: `HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n${evil}`,
    client: 304,
    body: "",
  },
];

const honest: readonly ResponseCase[] = [
  {
    name: "informational answers first",
    answer: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok("Content-Length: 2\r\n", "ok")}`,
    client: 200,
    body: "ok",
  },
  {
    name: "Connection that names the length",
    answer: ok("Connection: content-length\r\nContent-Length: 2\r\n", "ok"),
    client: 200,
    body: "ok",
  },
  { name: "no reason phrase", answer: "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", client: 200, body: "ok" },
  {
    name: "a reason beyond ASCII",
    answer: "HTTP/1.1 200 D\xe9j\xe0 vu\r\nContent-Length: 2\r\n\r\nok",
    client: 200,
    body: "ok",
  },
  { name: "a status of its own", answer: "HTTP/1.1 599 Other\r\nContent-Length: 2\r\n\r\nok", client: 599, body: "ok" },
  { name: "HTTP/1.0 until the end", answer: "HTTP/1.0 200 OK\r\n\r\nok", closes: true, client: 200, body: "ok" },
  {
    name: "chunk extensions",
    answer: ok("Transfer-Encoding: chunked\r\n", "2;a=b\r\nok\r\n0;c\r\n\r\n"),
    client: 200,
    body: "ok",
  },
];

export const responseCorpus: readonly ResponseCase[] = [...heads, ...bodies, ...surplus, ...honest];
