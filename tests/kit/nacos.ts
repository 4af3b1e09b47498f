import type http from "node:http";
import { ApiServer, type ApiRequest } from "./api-server.ts";
import type { Scope } from "./scope.ts";

/** An instance as Nacos names it. */
export interface NacosHost {
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  readonly healthy: boolean;
  readonly enabled: boolean;
  readonly ephemeral: boolean;
  readonly clusterName: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A healthy one. */
export function nacosHost(address: string, more: Partial<NacosHost> = {}): NacosHost {
  const [ip = "", port] = address.split(":");
  return {
    ...{ ip, port: Number(port), weight: 1, healthy: true, enabled: true, ephemeral: true },
    ...{ clusterName: "DEFAULT", metadata: {} },
    ...more,
  };
}

/** The open API of Nacos: the list of a service's instances, and the login if there is a user. */
export class NacosServer extends ApiServer {
  hosts: readonly NacosHost[] = [];
  cacheMillis = 3_000;
  reachProtectionThreshold = false;
  /** Absent: nobody has to log in. */
  user: { readonly name: string; readonly password: string } | undefined;
  tokenSeconds = 18_000;
  /** The tokens that are accepted; a test may take them away. */
  readonly tokens = new Set<string>();
  logins = 0;

  protected answer({ path, query, method, body }: ApiRequest, response: http.ServerResponse): void {
    if (path.endsWith("/v1/auth/login") && method === "POST") {
      const form = new URLSearchParams(body);
      if (form.get("username") !== this.user?.name || form.get("password") !== this.user?.password) {
        response.writeHead(403).end("unknown user!");
        return;
      }
      const accessToken = `token-${++this.logins}`;
      this.tokens.add(accessToken);
      this.send(response, { accessToken, tokenTtl: this.tokenSeconds, globalAdmin: false });
      return;
    }
    if (this.user !== undefined && !this.tokens.has(query.get("accessToken") ?? "")) {
      response.writeHead(403, { "content-type": "application/json" });
      response.end(JSON.stringify({ timestamp: "now", status: 403, error: "Forbidden", message: "token invalid!" }));
      return;
    }
    this.send(response, {
      ...{ name: "DEFAULT_GROUP@@users", groupName: "DEFAULT_GROUP", clusters: "", lastRefTime: 1, checksum: "" },
      ...{ allIPs: false, valid: true, reachProtectionThreshold: this.reachProtectionThreshold },
      ...{ cacheMillis: this.cacheMillis, hosts: this.hosts },
    });
  }
}

/** Starts one; ended with the test. */
export async function nacosServer(scope: Scope): Promise<NacosServer> {
  const server = new NacosServer(scope);
  await server.listen();
  return server;
}
