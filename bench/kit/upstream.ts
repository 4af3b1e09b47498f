import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, launch } from "./process.ts";
import type { Running } from "./process.ts";

/** Answers of 157 bytes on any path, files under /files/ and, on a port of its own, a sink for uploads. */
export interface Upstream extends AsyncDisposable {
  readonly port: number;
  readonly sinkPort: number;
}

/** Files that `/files/<name>` serves, in bytes. */
export const fileSizes = { "64k": 64 * 1024, "1m": 1024 * 1024, "1g": 1024 ** 3 } as const;

const smallAnswer = JSON.stringify({
  id: 42,
  name: "Grace Hopper",
  email: "grace.hopper@example.com",
  groups: ["gold", "staff", "navy"],
  active: true,
  created: "1906-12-09T00:00:00Z",
  note: "0",
});

const sinkProgram = fileURLToPath(new URL("../targets/sink.ts", import.meta.url));

/**
 * nginx is the cheapest server at hand, so that on a small machine the proxy and not the upstream is what saturates.
 * The sink is a program of ours because nginx answers before it has read a body that nobody wants.
 */
export async function startUpstream(dir: string): Promise<Upstream> {
  const port = await freePort();
  const files = join(dir, "files");
  await mkdir(files, { recursive: true });
  for (const [name, bytes] of Object.entries(fileSizes)) {
    const file = await open(join(files, name), "w");
    await file.truncate(bytes); // sparse: zeros that take no room on the disk
    await file.close();
  }
  const config = join(dir, "upstream.conf");
  await writeFile(config, upstreamConfig(port, dir));
  const ready = { port, path: "/" };
  const server = await launch({ name: "upstream", command: ["nginx", "-p", dir, "-c", config], port, ready });
  const sink = await startSink().catch(async (error: unknown) => {
    await server.stop();
    throw error;
  });
  return {
    port,
    sinkPort: sink.port,
    async [Symbol.asyncDispose]() {
      await Promise.all([server.stop(), sink.stop()]);
    },
  };
}

async function startSink(): Promise<Running> {
  const port = await freePort();
  const command = [process.execPath, sinkProgram, String(port)] as const;
  return launch({ name: "sink", command, port, ready: { port, path: "/" } });
}

function upstreamConfig(port: number, dir: string): string {
  if (Buffer.byteLength(smallAnswer) !== 157) throw new Error("the small answer is not 157 bytes");
  return `daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid ${dir}/upstream.pid; error_log stderr crit;
events { worker_connections 32768; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_body_temp_path ${dir}/upstream-body; proxy_temp_path ${dir}/upstream-proxy;
  fastcgi_temp_path ${dir}/upstream-fastcgi; uwsgi_temp_path ${dir}/upstream-uwsgi; scgi_temp_path ${dir}/upstream-scgi;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { default_type application/json; return 200 '${smallAnswer}'; }
    location /files/ { root ${dir}; }
  }
}
`;
}
