/** What reading and writing heads costs, and normalising a path. `node bench/micro/head.ts [--json]` */
import { parseRequestHead } from "../../packages/gateway/src/proxy/http1/parse-head.ts";
import { parseResponseHead } from "../../packages/gateway/src/proxy/http1/parse-response.ts";
import { fieldLines } from "../../packages/gateway/src/proxy/http1/write-head.ts";
import { normalizeTarget } from "../../packages/gateway/src/proxy/router/normalize.ts";
import { measure, report } from "./measure.ts";

const limits = { headBytes: 32 * 1024, headers: 100, uriBytes: 8 * 1024 };

const small = Buffer.from(
  "GET /api/users/42 HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nUser-Agent: curl/8\r\n\r\n",
);
const browser = Buffer.from(
  [
    "GET /api/users/42/orders?page=3&sort=-created HTTP/1.1",
    "Host: api.example.com",
    "Connection: keep-alive",
    'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"',
    "sec-ch-ua-mobile: ?0",
    'sec-ch-ua-platform: "Linux"',
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept: application/json, text/plain, */*",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: empty",
    "Referer: https://www.example.com/orders",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    `Authorization: Bearer ${"x".repeat(180)}`,
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1",
    "\r\n",
  ].join("\r\n"),
);
const answer = Buffer.from(
  [
    "HTTP/1.1 200 OK",
    "Server: nginx",
    "Date: Sun, 22 Nov 2026 14:00:00 GMT",
    "Content-Type: application/json",
    "Content-Length: 157",
    "Connection: keep-alive",
    "\r\n",
  ].join("\r\n"),
);

const parseRequest = (bytes: Buffer) => parseRequestHead(bytes, 0, bytes.length, limits);
const browserHead = parseRequest(browser);
if (browserHead === undefined) throw new Error("the head is not complete");
const { fields, hopByHop, nominated } = browserHead;
const fieldsStart = browser.indexOf("\r\n") + 2;

report("Heads and paths", [
  measure("read a request head, 3 fields", () => parseRequest(small)),
  measure("read a request head, 15 fields", () => parseRequest(browser)),
  measure("read a response head, 5 fields", () => parseResponseHead(answer, 0, answer.length, "GET", limits)),
  measure("write 14 of 15 fields", () => Buffer.from(fieldLines(fields, fieldsStart, hopByHop, nominated), "latin1")),
  measure("normalise a plain path", () => normalizeTarget("/api/users/42/orders?page=3&sort=-created")),
  measure("normalise a path that needs it", () => normalizeTarget("/api//users/%34%32/../43/./orders%2f7?page=3")),
]);
