/**
 * The known request-smuggling shapes as data: what is sent, what the client sees, and which requests the instance sees.
 * Sources: RFC 9112 §§2.2, 3, 5, 6, 7, 11.2; PortSwigger "HTTP desync attacks" (2019) and "HTTP/1.1 must die" (2025);
 * llhttp's and HAProxy's advisories on chunk extensions and white space.
 */
export interface RequestCase {
  readonly name: string;
  /** latin1. */
  readonly send: string;
  /** Statuses of the answers, in order. */
  readonly statuses: readonly number[];
  /** Whether the gateway then closes. Else the connection must go on to work. */
  readonly closed: boolean;
  /** Whole requests the instance sees: `METHOD target body`. */
  readonly instance: readonly string[];
}

function refused(name: string, send: string, status = 400): RequestCase {
  return { name, send, statuses: [status], closed: true, instance: [] };
}

function taken(name: string, send: string, ...instance: string[]): RequestCase {
  return { name, send, statuses: instance.map(() => 200), closed: false, instance };
}

/** A path that the router answers 403 for: the request is valid, so that the connection goes on. */
function guarded(path: string): RequestCase {
  return { name: `guarded: ${path}`, send: get(path), statuses: [403], closed: false, instance: [] };
}

const get = (target: string, fields = ""): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const post = (fields: string, body = ""): string => `POST /p HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;
const chunked = (body: string): string => post("Transfer-Encoding: chunked\r\n", body);
/** What an attacker hides behind a body that two parsers end at different places. */
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

const twoFramings: readonly RequestCase[] = [
  refused("CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG")),
  refused(
    "TE.CL",
    post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
  ),
  refused(
    "CL.TE with a length that would fit",
    post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
  ),
  refused("CL.0 with chunked", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${smuggled}`)),
  refused("TE in HTTP/1.0", `POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`),
];

const codings: readonly string[] = [
  "xchunked",
  "chunked, chunked",
  "chunked, identity",
  "identity, chunked",
  "gzip, chunked",
  "chunked, gzip",
  "identity",
  "gzip",
  "",
  "chunked,",
  ",chunked",
  "chunked;a=b",
  '"chunked"',
  "'chunked'",
  "\x0bchunked",
  "chunked\x0b",
  "\0chunked",
  "chunked\0",
  "chunk\xe9d",
  "chun ked",
  "cow",
  "chunked, cow",
  // OWS by the grammar, yet node and others do not read it as `chunked`.
  "chunked\t",
];

const codingCases: readonly RequestCase[] = [
  ...codings.map((coding) =>
    refused(
      `Transfer-Encoding: ${JSON.stringify(coding)}`,
      post(`Transfer-Encoding: ${coding}\r\n`, `0\r\n\r\n${smuggled}`),
    ),
  ),
  refused("TE.TE: chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
  refused(
    "TE.TE: chunked and identity",
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
  ),
  refused("TE.TE: cow and chunked", post("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
  refused("TE with a space before the colon", post("Content-Length: 3\r\nTransfer-Encoding : chunked\r\n", "abc")),
  refused("TE with a tab before the colon", post("Content-Length: 3\r\nTransfer-Encoding\t: chunked\r\n", "abc")),
  refused("TE with a space in front", post("Content-Length: 3\r\n Transfer-Encoding: chunked\r\n", "abc")),
  refused("TE behind a bare LF", post("Content-Length: 3\r\nX: y\nTransfer-Encoding: chunked\r\n", "abc")),
  refused("TE behind a bare CR", post("Content-Length: 3\r\nX: y\rTransfer-Encoding: chunked\r\n", "abc")),
  refused("TE on a folded line", post("Content-Length: 3\r\nTransfer-Encoding:\r\n chunked\r\n", "abc")),
  refused("TE with NUL in its name", post("Content-Length: 3\r\nTransfer\0-Encoding: chunked\r\n", "abc")),
  taken(
    "CHUNKED in capitals is chunked",
    post("Transfer-Encoding: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"),
    "POST /p abc",
  ),
  taken(
    "white space around the coding is none of it",
    post("transfer-encoding:  \tchunked  \r\n", "3\r\nabc\r\n0\r\n\r\n"),
    "POST /p abc",
  ),
  taken(
    "Transfer_Encoding is a name of its own",
    post("Content-Length: 3\r\nTransfer_Encoding: chunked\r\n", "0\r\n"),
    "POST /p 0\r\n",
  ),
];

const lengths: readonly string[] = [
  "",
  "+3",
  "-3",
  "0x3",
  "3,3",
  "3, 3",
  "3 3",
  "3;",
  "3.0",
  "3e0",
  "\x0b3",
  "3\0",
  "three",
  "3L",
  "18446744073709551619",
  "99999999999999999999",
  "\xb3",
];

const lengthCases: readonly RequestCase[] = [
  ...lengths.map((length) =>
    refused(`Content-Length: ${JSON.stringify(length)}`, post(`Content-Length: ${length}\r\n`, "abc")),
  ),
  refused("the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")),
  refused("two lengths", post("Content-Length: 3\r\nContent-Length: 0\r\n", "abc")),
  refused("two lengths in two cases", post("Content-Length: 0\r\ncontent-length: 37\r\n", smuggled)),
  taken("a length with leading zeros is that length", post("Content-Length: 0003\r\n", "abc"), "POST /p abc"),
  taken(
    "CL.0: what follows an empty body is a request",
    post("Content-Length: 0\r\n", smuggled),
    "POST /p ",
    "GET /smuggled ",
  ),
  taken(
    "GET with a body: the body is no request",
    get("/g", `Content-Length: ${smuggled.length}\r\n`) + smuggled,
    `GET /g ${smuggled}`,
  ),
];

const chunkSizes: readonly string[] = [
  "",
  " 3",
  "3 ",
  "3\t",
  "0x3",
  "+3",
  "-3",
  "g",
  "3g",
  "3,3",
  "3.",
  ";",
  ";a",
  "3;",
  "3;\0",
  "3;a\nb",
  "3;a\rb",
  "3;a b",
  "3;=b",
  "3;\xe9",
  '3;a="b',
  "3\n",
  "3\r\r",
  "ffffffffffffffffff3",
  "10000000000000003",
  `3;${"a".repeat(5000)}`,
  "3\x0b",
  "3\0",
];

const chunkCases: readonly RequestCase[] = [
  ...chunkSizes.map((size) =>
    refused(`chunk size ${JSON.stringify(size.slice(0, 30))}`, chunked(`${size}\r\nabc\r\n0\r\n\r\n`)),
  ),
  refused("a bare LF behind a chunk size", chunked("3\nabc\r\n0\r\n\r\n")),
  refused("a bare CR behind a chunk size", chunked("3\rabc\r\n0\r\n\r\n")),
  refused("a bare LF behind a chunk", chunked("3\r\nabc\n0\r\n\r\n")),
  refused("a chunk longer than its size", chunked("3\r\nabcd\r\n0\r\n\r\n")),
  refused("a chunk shorter than its size", chunked("5\r\nabc\r\n0\r\n\r\n")),
  refused("two bytes in place of a chunk's CRLF", chunked("3\r\nabcXX0\r\n\r\n")),
  refused("a bare LF at the end", chunked("3\r\nabc\r\n0\r\n\n")),
  refused("a trailer that is no field", chunked("0\r\nnot a field\r\n\r\n")),
  refused("a folded trailer", chunked("0\r\nA: b\r\n c\r\n\r\n")),
  refused("a length among the trailers", chunked("0\r\nContent-Length: 3\r\n\r\nabc")),
  refused("a coding among the trailers", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
  taken("extensions by the grammar are ignored", chunked('3;a=b;c;d="e;f"\r\nabc\r\n0;z\r\n\r\n'), "POST /p abc"),
  taken("leading zeros in a chunk size", chunked("0003\r\nabc\r\n000\r\n\r\n"), "POST /p abc"),
  taken(
    "sizes in both cases",
    chunked(`a\r\n${"x".repeat(10)}\r\nA\r\n${"y".repeat(10)}\r\n0\r\n\r\n`),
    `POST /p ${"x".repeat(10)}${"y".repeat(10)}`,
  ),
  taken("a request behind a chunked body", chunked(`0\r\n\r\n${smuggled}`), "POST /p ", "GET /smuggled "),
];

const lineCases: readonly RequestCase[] = [
  refused("bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
  refused("bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
  refused("bare LF only", "GET / HTTP/1.1\nHost: a\n\n"),
  refused("bare CR in a value", get("/", "X: a\rb\r\n")),
  refused("CR CR LF", get("/", "X: a\r\r\n")),
  refused("NUL in a value", get("/", "X: a\0b\r\n")),
  refused("a control character in a value", get("/", "X: a\x1bb\r\n")),
  refused("DEL in a value", get("/", "X: a\x7fb\r\n")),
  refused("a folded line", get("/", "X: a\r\n b\r\n")),
  refused("a line folded by a tab", get("/", "X: a\r\n\tb\r\n")),
  refused("a folded line right behind the request line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
  refused("a line without a colon", get("/", "nonsense\r\n")),
  refused("an empty name", get("/", ": a\r\n")),
  ...["X Y", "X\0", "X\xe9", "(X)", "X/Y", "X=Y", 'X"', "{X}", "X@Y", "X\x7f", "X\\Y", "[X]", "X,Y", "X?"].map((name) =>
    refused(`a field named ${JSON.stringify(name)}`, get("/", `${name}: z\r\n`)),
  ),
  refused("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
  refused("a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
  refused("no version", "GET /\r\nHost: a\r\n\r\n"),
  refused("a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n"),
  refused("something behind the version", "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
  refused("white space in front of the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  taken(
    "an empty line in front of a request, as old clients send",
    `\r\n${get("/1")}\r\n${get("/2")}`,
    "GET /1 ",
    "GET /2 ",
  ),
  taken("every token character in a name", get("/t", "!#$%&'*+-.^_`|~09azAZ: z\r\n"), "GET /t "),
];

const hostCases: readonly RequestCase[] = [
  refused("no Host", "GET / HTTP/1.1\r\n\r\n"),
  refused("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
  refused("the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
  ...[
    "",
    "a b",
    "a/b",
    "u@a",
    "a:b",
    "a:80:80",
    "[::1",
    "::1",
    "a\\b",
    "a#b",
    "a?b",
    ":80",
    "\xe9",
    "a\tb",
    "http://a",
  ].map((host) => refused(`Host: ${JSON.stringify(host)}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)),
  refused("absolute form and another Host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
  refused("absolute form and no Host", "GET http://b/ HTTP/1.1\r\n\r\n"),
  refused("absolute form with user information", "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n"),
  refused("absolute form without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
  refused("absolute form of another scheme", "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
  refused("a target without a slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
  refused("* with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
  taken(
    "absolute form and the same Host is sent on in origin form",
    "GET http://a/abs?q HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /abs?q ",
  ),
  refused("an unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
];

const pathCases: readonly RequestCase[] = [
  ...[
    "/admin",
    "/admin/",
    "/admin/x",
    "/%61dmin/x",
    "/x/../admin/x",
    "/x/%2e%2e/admin/x",
    "/x/.%2E/admin/x",
    "/./admin/x",
    "//admin/x",
    "/admin//x",
  ].map(guarded),
  ...[
    "/admin%2fx",
    "/admin%2Fx",
    "/x%2f..%2fadmin/x",
    "/x/..%2fadmin%2fx",
    "/%2e%2e/admin/x",
    "/../../admin/x",
    "/%2fadmin/x",
    "/x/%2e%2e%2fadmin/x",
  ].map(guarded),
  ...["http://a/admin/x", "http://a//admin/x", "/%41%64min/../admin/x"].map(guarded),
  ...[
    "/admin%00",
    "/%00admin/x",
    "/\\admin/x",
    "/x\\..\\admin/x",
    "/x/..%5cadmin/x",
    "/x/..;/admin/x",
    "/x/..;a=b/admin",
    "/%zz",
    "/%",
    "/%4",
    "/x#/admin",
    "/\xe9",
    "/<x\x01>",
  ].map((path) => refused(`path ${JSON.stringify(path)}`, get(path))),
  taken("a double encoding stays one", get("/%252e%252e/admin/x"), "GET /%252e%252e/admin/x "),
  taken("an overlong encoding is no dot", get("/%c0%ae%c0%ae/admin/x"), "GET /%c0%ae%c0%ae/admin/x "),
  taken("out of the guarded path again", get("/admin/../x"), "GET /x "),
  taken("paths have case", get("/ADMIN/x"), "GET /ADMIN/x "),
  taken("a query is no path", get("/x?/../admin/x"), "GET /x?/../admin/x "),
];

const orderCases: readonly RequestCase[] = [
  taken(
    "three in one packet",
    get("/1") + post("Content-Length: 3\r\n", "abc") + get("/3"),
    "GET /1 ",
    "POST /p abc",
    "GET /3 ",
  ),
  {
    name: "a valid request in front of an invalid one is served",
    send: get("/1") + get("/2", "X : y\r\n"),
    statuses: [200, 400],
    closed: true,
    instance: ["GET /1 "],
  },
  {
    name: "behind Connection: close nothing is read",
    send: get("/1", "Connection: close\r\n") + smuggled,
    statuses: [200],
    closed: true,
    instance: ["GET /1 "],
  },
  {
    name: "behind an invalid request nothing is read",
    send: post("Content-Length: 0\r\nContent-Length: 0\r\n") + smuggled,
    statuses: [400],
    closed: true,
    instance: [],
  },
];

export const requestCorpus: readonly RequestCase[] = [
  ...twoFramings,
  ...codingCases,
  ...lengthCases,
  ...chunkCases,
  ...lineCases,
  ...hostCases,
  ...pathCases,
  ...orderCases,
];
