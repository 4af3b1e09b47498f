/**
 * `npm start [-- FLAGS]`: the gateway on examples/quickstart.yaml, with the services it names, and four things to try.
 * Flags go to `headgate start`; `-c FILE` runs another document.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { join, relative, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SignJWT } from "jose";
import { listen } from "../examples/services/json-service.ts";
import { ordersService } from "../examples/services/orders.ts";
import { usersService } from "../examples/services/users.ts";

const root = resolve(import.meta.dirname, "..");
const readyWithinMs = 30_000;

/** What to try, in order: a sentence and the line to type. */
export function linesToTry(url: string, token: string, file: string): [what: string, line: string][] {
  return [
    ["A proxied route; two instances take turns:", `curl ${url}/api/users/1`],
    ["A limited one: 429 after three:", `curl -s -o /dev/null -w '%{http_code}\\n' '${url}/api/limited?[1-5]'`],
    ["A protected one: 401,", `curl -i ${url}/api/orders`],
    ["and 200 with a token:", `curl -i -H 'Authorization: Bearer ${token}' ${url}/api/orders`],
    ["An edit, live at once:", `sed -i 's/Hello/Bonjour/' ${file} && sleep 1 && curl ${url}/hello`],
  ];
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      config: { type: "string", short: "c" },
      listen: { type: "string", multiple: true },
      admin: { type: "string" },
    },
    strict: false, // the others are for `headgate start` to judge
  });
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  const file = text(values.config) ?? join(root, "examples/quickstart.yaml");
  const address = text(values.listen?.[0]) ?? process.env["HEADGATE_LISTEN"] ?? "0.0.0.0:8080";
  const admin = text(values.admin) ?? process.env["HEADGATE_ADMIN"] ?? "127.0.0.1:9080";
  if (await isTaken(address)) return sayTaken(address, "--listen", "HEADGATE_LISTEN");
  if (await isTaken(admin)) return sayTaken(admin, "--admin", "HEADGATE_ADMIN");

  const users = await Promise.all([listen(usersService(), 0), listen(usersService(), 0)]);
  const orders = await listen(ordersService(), 0);
  const secret = randomBytes(32).toString("base64url");
  const env = { ...process.env, USERS_1: users[0], USERS_2: users[1], ORDERS: orders, QUICKSTART_SECRET: secret };
  const flags = values.config === undefined ? ["-c", file, ...args] : args;
  // In this process group: an interrupt from the terminal reaches the gateway too.
  const gateway = spawn(join(root, "packages/gateway/bin/headgate"), ["start", ...flags], {
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const ended = endOf(gateway);
  const ready = await Promise.race([isReady(`http://${reachable(admin)}/readyz`), ended.then(() => false)]);
  if (ready) printWelcome(reachable(address), admin, { users, orders }, await token(secret), shortest(file));
  else if (gateway.exitCode === null) {
    console.error(`The gateway was not ready within ${readyWithinMs / 1000} s.`);
    gateway.kill();
  }
  return await ended;
}

/** Ends the gateway when this process is told to end; resolves with the exit code. */
function endOf(gateway: ChildProcess): Promise<number> {
  let asked = false;
  const end = (signal: NodeJS.Signals): void => {
    asked = true;
    // A terminal has sent SIGINT to the gateway already, and a second signal would cut the exchanges in flight.
    if (signal === "SIGTERM") gateway.kill(signal);
    else setTimeout(() => gateway.kill(), 500).unref();
  };
  process.on("SIGINT", end).on("SIGTERM", end);
  return new Promise((resolve) => {
    gateway.once("error", (error) => {
      console.error(`The gateway could not be started: ${error.message}`);
      resolve(1);
    });
    gateway.once("exit", (code) => resolve(asked ? 0 : (code ?? 1)));
  });
}

async function isReady(url: string): Promise<boolean> {
  for (const startedMs = performance.now(); performance.now() - startedMs < readyWithinMs; await delay(50)) {
    const response = await fetch(url).catch(() => undefined); // not listening yet
    await response?.body?.cancel();
    if (response?.ok === true) return true;
  }
  return false;
}

/** The path as one would type it here. */
function shortest(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith("..") ? resolve(file) : path;
}

/** Splits `host:port`; the host may be in brackets. */
function split(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: Number(address.slice(colon + 1)) };
}

/** The address to type: one cannot connect to "every interface". */
function reachable(address: string): string {
  const { host, port } = split(address);
  return ["0.0.0.0", "::", ""].includes(host) ? `127.0.0.1:${port}` : address;
}

/**
 * Asked before anything starts, because workers share a port (SO_REUSEPORT): a second gateway of the same user would
 * start beside the first and take half of its connections. This socket does not share, so it fails.
 */
function isTaken(address: string): Promise<boolean> {
  const { host, port } = split(address);
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "EADDRINUSE"));
    probe.listen({ port, ...(host === "" ? {} : { host }) }, () => probe.close(() => resolve(false)));
  });
}

function sayTaken(address: string, flag: string, variable: string): number {
  const other = `${split(address).host}:${split(address).port + 1}`;
  console.error(
    `${address} is taken by another program. Choose another address: ` +
      `npm start -- ${flag} ${other} (or ${variable}=${other} npm start).`,
  );
  return 1;
}

function token(secret: string): Promise<string> {
  return new SignJWT({})
    .setProtectedHeader({ alg: "HS256" })
    .setSubject("ada")
    .setIssuer("quickstart")
    .setIssuedAt()
    .setExpirationTime("1d")
    .sign(new TextEncoder().encode(secret));
}

function printWelcome(
  address: string,
  admin: string,
  services: { users: readonly string[]; orders: string },
  bearer: string,
  file: string,
): void {
  const url = `http://${address}`;
  console.log(`
Headgate is listening
  gateway   ${url}
  admin     http://${admin}   (/healthz, /readyz, /metrics)
  services  users on ${services.users.join(" and ")}, orders on ${services.orders}
  document  ${file}

Try in another terminal`);
  for (const [what, line] of linesToTry(url, bearer, file)) console.log(`\n  ${what}\n    ${line}`);
  console.log("\nCtrl-C ends everything.\n");
}
