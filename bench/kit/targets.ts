import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { headgateDocument } from "./documents.ts";
import { freePort, launch } from "./process.ts";
import type { Running } from "./process.ts";

/** Every proxy that can be measured, in the order of the tables. The first that runs is what ratios refer to. */
export const targetNames = ["nginx", "haproxy", "headgate", "fastify", "http-proxy-3"] as const;
export type TargetName = (typeof targetNames)[number];

/** The Debian package a target needs. */
export const targetPackages: Readonly<Partial<Record<TargetName, string>>> = {
  nginx: "nginx-light",
  haproxy: "haproxy",
};

const root = fileURLToPath(new URL("../..", import.meta.url));
const script = (name: string): string => fileURLToPath(new URL(`../targets/${name}.ts`, import.meta.url));

/** Starts a proxy with one worker and no access log in front of 127.0.0.1:`upstreamPort`. Rejects with its output. */
export async function startTarget(name: TargetName, upstreamPort: number, dir: string): Promise<Running> {
  if (name === "headgate") return startHeadgate("headgate", headgateDocument({ upstreamPort }), dir);
  const port = await freePort();
  const command = await commandOf(name, port, upstreamPort, dir);
  return launch({ name, command, port, ready: { port, path: "/" } });
}

async function commandOf(
  name: Exclude<TargetName, "headgate">,
  port: number,
  upstreamPort: number,
  dir: string,
): Promise<[string, ...string[]]> {
  const config = join(dir, `${name}-${port}.conf`);
  switch (name) {
    case "nginx":
      await writeFile(config, nginxConfig(port, upstreamPort, dir));
      return ["nginx", "-p", dir, "-c", config];
    case "haproxy":
      await writeFile(config, haproxyConfig(port, upstreamPort));
      return ["haproxy", "-db", "-q", "-f", config];
    case "fastify":
    case "http-proxy-3":
      return [process.execPath, script(name), String(port), String(upstreamPort)];
  }
}

/** Headgate and where its own pages are. */
export interface RunningHeadgate extends Running {
  readonly adminPort: number;
  readonly dataDir: string;
  /** The document it runs on and watches. */
  readonly document: string;
}

/** Starts Headgate on a document that listens on the ports it is given. */
export async function startHeadgate(
  name: string,
  document: (ports: { port: number; adminPort: number; dataDir: string }) => string,
  dir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningHeadgate> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const dataDir = join(dir, `${name}-${port}`);
  await mkdir(dataDir, { recursive: true });
  const path = join(dataDir, "headgate.yaml");
  await writeFile(path, document({ port, adminPort, dataDir }));
  const command = [join(root, "packages/gateway/bin/headgate"), "start", "-c", path] as const;
  const ready = { port: adminPort, path: "/readyz" };
  const running = await launch({ name, command, port, ready, cwd: dirname(path), env });
  return { ...running, adminPort, dataDir, document: path };
}

function nginxConfig(port: number, upstreamPort: number, dir: string): string {
  // Request and response bodies stream, as they do in the others: nginx's own default would write them to the disk.
  // keepalive is as high as the others' pools, or at 1,000 connections nginx alone would open one for each request.
  return `daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid ${dir}/nginx-${port}.pid; error_log stderr crit;
events { worker_connections 32768; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
  client_body_temp_path ${dir}/nginx-body; proxy_temp_path ${dir}/nginx-proxy;
  fastcgi_temp_path ${dir}/nginx-fastcgi; uwsgi_temp_path ${dir}/nginx-uwsgi; scgi_temp_path ${dir}/nginx-scgi;
  upstream service { server 127.0.0.1:${upstreamPort}; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://service; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`;
}

function haproxyConfig(port: number, upstreamPort: number): string {
  // No maxconn: HAProxy derives it from the open files it may have and refuses to start with more than half of them.
  return `global
  nbthread 1
defaults
  mode http
  option http-keep-alive
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 60s
frontend clients
  bind 127.0.0.1:${port} backlog 4096
  default_backend service
backend service
  server instance 127.0.0.1:${upstreamPort} pool-max-conn 1024
`;
}
