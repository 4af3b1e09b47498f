import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, launch, type Running } from "./process.ts";
import { startHeadgate } from "./targets.ts";

/** How an instance can fail; `instances.ts` says what each does. */
export const faults = ["500", "hang", "close", "reset-body", "slow", "short-body", "refuse"] as const;
export type Fault = (typeof faults)[number];

const program = fileURLToPath(new URL("../targets/instances.ts", import.meta.url));

/** Instances of one service that can be made to fail. */
export interface Pool extends AsyncDisposable {
  readonly ports: readonly number[];
  set(instance: number, fault: Fault | "none" | "slower"): Promise<void>;
  /** When requests reached it, milliseconds since 1970, since it was asked last. */
  arrivals(instance: number): Promise<number[]>;
}

/** Starts them in one process of their own. */
export async function startPool(count: number): Promise<Pool> {
  const ports: number[] = [];
  for (let i = 0; i < count; i++) ports.push(await freePort());
  const control = await freePort();
  const command = [process.execPath, program, String(control), ...ports.map(String)] as const;
  const running = await launch({ name: "instances", command, ready: { port: control, path: "/" } });
  const ask = async (path: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${control}${path}`)).json();
  return {
    ports,
    set: async (instance, fault) => void (await ask(`/set?instance=${instance}&fault=${fault}`)),
    arrivals: async (instance) => (await ask(`/arrivals?instance=${instance}`)) as number[], // the program above
    [Symbol.asyncDispose]: () => running.stop(),
  };
}

/** The proxies that are compared when an instance fails. */
export const poolTargets = ["nginx", "haproxy", "headgate"] as const;
export type PoolTarget = (typeof poolTargets)[number];

/** Starts a proxy in front of the instances, set up as its users do who care for failures; Headgate with its defaults. */
export async function startPoolTarget(name: PoolTarget, ports: readonly number[], dir: string): Promise<Running> {
  if (name === "headgate") return { ...(await startHeadgatePool({ name: "pool", ports, dir })), name };
  const port = await freePort();
  const config = join(dir, `pool-${name}-${port}.conf`);
  await writeFile(config, name === "nginx" ? nginxPool(port, ports, dir) : haproxyPool(port, ports));
  const command =
    name === "nginx"
      ? (["nginx", "-p", dir, "-c", config] as const)
      : (["haproxy", "-db", "-q", "-f", config] as const);
  return launch({ name, command, port, ready: { port, path: "/" } });
}

export interface HeadgatePool {
  readonly name: string;
  readonly ports: readonly number[];
  readonly dir: string;
  /** Lines of YAML of the service. Default: none, what everybody gets. */
  readonly policies?: readonly string[];
  /** Further routes, one line of YAML each. */
  readonly routes?: readonly string[];
  /** Default 2. */
  readonly workers?: number;
}

/** Starts Headgate in front of the instances. */
export async function startHeadgatePool(options: HeadgatePool): Promise<Running> {
  const { name, ports, dir, policies = [], routes = [], workers = 2 } = options;
  const document = (at: { port: number; adminPort: number; dataDir: string }): string =>
    [
      "gateway:",
      `  listen: [{ address: "127.0.0.1:${at.port}" }]`,
      `  admin: { address: "127.0.0.1:${at.adminPort}" }`,
      `  workers: ${workers}`,
      `  dataDir: ${JSON.stringify(at.dataDir)}`,
      '  accessLog: { format: "off" }',
      "routes:",
      ...['all: { match: { path: "/*" }, to: pool }', ...routes].map((line) => `  ${line}`),
      "services:",
      "  pool:",
      `    instances: [${ports.map((port) => `{ address: "127.0.0.1:${port}" }`).join(", ")}]`,
      ...policies.map((line) => `    ${line}`),
      "",
    ].join("\n");
  return { ...(await startHeadgate(name, document, dir)), name };
}

/** Passive checks and retries as nginx has them by default, and connections kept as its documentation recommends. */
function nginxPool(port: number, ports: readonly number[], dir: string): string {
  return `daemon off; worker_processes 2; worker_rlimit_nofile 65536; pid ${dir}/pool-${port}.pid; error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off; client_body_temp_path ${dir}/nginx-body; proxy_temp_path ${dir}/nginx-proxy;
  fastcgi_temp_path ${dir}/nginx-fastcgi; uwsgi_temp_path ${dir}/nginx-uwsgi; scgi_temp_path ${dir}/nginx-scgi;
  upstream pool {
    zone pool 256k; ${ports.map((each) => `server 127.0.0.1:${each};`).join(" ")} keepalive 256;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://pool; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`;
}

/** Active checks each two seconds, traffic observed, and another server tried: its documentation's advice. */
function haproxyPool(port: number, ports: readonly number[]): string {
  const servers = ports.map(
    (each, at) =>
      `  server i${at} 127.0.0.1:${each} check inter 2s fall 3 rise 2 observe layer7 error-limit 10 on-error mark-down`,
  );
  return `global
  nbthread 2
defaults
  mode http
  option http-keep-alive
  option redispatch 1
  retries 3
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind 127.0.0.1:${port} backlog 4096
  default_backend pool
backend pool
  balance roundrobin
  option httpchk GET /healthz
${servers.join("\n")}
`;
}
