import assert from "node:assert/strict";
import { test } from "node:test";
import { validateDocument } from "@headgate/schema";
import { toDocument } from "./document.ts";

const written = {
  gateway: {
    listen: [{ address: "127.0.0.1:8081" }],
    workers: 2,
    timeouts: { drain: "1.5s" },
    limits: { uri: "1000B" },
    redis: { url: "redis://user:s3cret@127.0.0.1:6379" },
    queue: { messages: 5, size: "10MB", secret: "s3cret-s3cret-s3cret" },
    overload: false,
    zone: "a",
  },
  global: ["request-id", { "access-log": { format: "json" }, when: { methods: ["POST"] } }],
  middlewares: { "signed-in": { jwt: { secret: "s3cret-s3cret-s3cret", issuer: "https://id.example.com" } } },
  routes: {
    users: {
      match: [
        {
          hosts: ["a.example.com"],
          path: "/u/:id",
          methods: ["GET"],
          headers: { "x-a": "1", "x-b": { exists: false } },
        },
        { query: { q: { regex: "^a" } }, cookies: { c: "1" }, clients: ["10.0.0.0/8"] },
      ],
      use: ["signed-in", { "strip-prefix": 1 }],
      to: [
        { service: "one", weight: 95 },
        { service: "two", weight: 5 },
      ],
      fallback: { service: "two" },
      timeout: "250ms",
      priority: 3,
    },
    hello: { match: { path: "/hello" }, respond: { status: 201, headers: { "x-a": "b" }, body: "hi" } },
    plain: { to: "one" },
    later: { match: { path: "/later" }, to: "one", delivery: { deadline: "1h", body: "1MB" }, importance: "low" },
  },
  services: {
    one: {
      instances: [{ address: "127.0.0.1:3001", weight: 2, zone: "a" }],
      retry: { attempts: 2, on: ["connect", "502"], budget: "10%", backoff: "1ms", perTry: "3s" },
      use: ["request-id"],
    },
    two: { instances: [{ address: "127.0.0.1:3002" }], timeouts: { connect: "100ms" }, pool: { max: 3, idle: "90s" } },
    three: {
      instances: [{ address: "127.0.0.1:3003" }],
      balance: { hash: { header: "x-user", loadFactor: 1.25 } },
      slowStart: "10s",
      panicThreshold: 0,
      preferZone: false,
      hedging: { after: "50ms" },
      circuitBreaker: { slowCall: "2s", open: "1s" },
      outlierDetection: false,
      healthCheck: { path: "/healthz", status: [200, "3xx"], body: "ok", host: "a", headers: { "x-a": "b" }, port: 81 },
      concurrency: { adaptive: true, max: 50 },
    },
    four: {
      instances: [{ address: "127.0.0.1:3004" }],
      balance: { sticky: { cookie: "c", ttl: "1h", secure: true } },
      outlierDetection: { base: "1s", maxEjected: "20%" },
      healthCheck: { tcp: true },
      concurrency: 9,
    },
    five: { balance: { hash: { client: true } }, discover: { etcd: "five" } },
    six: { discover: { dns: { name: "six.internal", port: 80, servers: ["10.0.0.2:5353"], interval: "1m" } } },
    seven: { discover: { dns: "_http._tcp.seven.internal" } },
    eight: { discover: { consul: { service: "eight", token: "s3cret-token", tag: ["a", "b"], passing: false } } },
    nine: { discover: { nacos: { service: "nine", username: "n", password: "s3cret-word" } } },
    ten: { discover: { kubernetes: { service: "ten", port: 80, url: "https://k8s:6443", token: "s3cret" } } },
  },
  consumers: { alice: { keys: ["key-of-alice"], groups: ["gold"], jwt: { subject: "alice" } } },
  plugins: { greet: "./greet.ts" },
};

test("the written document validates to what it was made from", () => {
  const { value, problems } = validateDocument(written);
  assert.ok(value, JSON.stringify(problems));
  const again = validateDocument(toDocument(value.gateway, value.resources, true));
  assert.deepEqual(again.value, value);
});

test("secrets are replaced unless they are asked for", () => {
  const { value } = validateDocument(written);
  assert.ok(value);
  const closed = JSON.stringify(toDocument(value.gateway, value.resources, false));
  assert.doesNotMatch(closed, /s3cret|key-of-alice/);
  assert.match(closed, /https:\/\/id.example.com/);
  assert.match(JSON.stringify(toDocument(value.gateway, value.resources, true)), /s3cret.*key-of-alice/);
});
