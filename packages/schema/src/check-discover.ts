import { isSrvName } from "./discover-schema.ts";
import type { Path, Problem } from "./problems.ts";

/*
 * What the schema of discovery cannot say: which settings exclude or need one another.
 */

type MapOf = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is MapOf {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function error(path: Path, message: string, hint: string): Problem {
  return { path, message, hint, severity: "error" };
}

const sources = ["etcd", "dns", "consul", "nacos", "kubernetes"];

/** Looks at `discover` as it is written; passes over what has the wrong type. */
export function checkDiscover(discover: unknown, path: Path): Problem[] {
  if (!isMap(discover)) return [];
  const named = sources.filter((source) => discover[source] !== undefined);
  if (named.length !== 1) {
    // An unknown key is told for itself.
    if (named.length === 0 && Object.keys(discover).length > 0) return [];
    return [error(path, `needs exactly one of ${sources.join(", ")}`, "such as { dns: users.internal:8080 }")];
  }
  const { dns, nacos, kubernetes } = discover;
  return [
    ...checkDns(dns, [...path, "dns"]),
    ...checkNacos(nacos, [...path, "nacos"]),
    ...checkKubernetes(kubernetes, [...path, "kubernetes"]),
  ];
}

function checkDns(dns: unknown, path: Path): Problem[] {
  if (!isMap(dns) || typeof dns["name"] !== "string") return [];
  const { name, port } = dns;
  if (isSrvName(name)) {
    if (port === undefined) return [];
    return [error([...path, "port"], "SRV records say which port each instance has", "remove port")];
  }
  if (port !== undefined) return [];
  return [
    error(path, "addresses alone do not say a port", "add port, or name SRV records such as _http._tcp.users.internal"),
  ];
}

function checkNacos(nacos: unknown, path: Path): Problem[] {
  if (!isMap(nacos)) return [];
  const { username, password } = nacos;
  if ((username === undefined) === (password === undefined)) return [];
  return [error(path, '"username" and "password" belong together', "give both, or neither")];
}

function checkKubernetes(kubernetes: unknown, path: Path): Problem[] {
  if (!isMap(kubernetes) || kubernetes["url"] !== undefined) return [];
  // The token of the gateway's own account goes to the cluster it runs in, and nowhere else.
  return ["token", "ca"].flatMap((key) =>
    kubernetes[key] === undefined
      ? []
      : [
          error(
            [...path, key],
            "belongs to a url: within a cluster the account of the pod is used",
            "add url, or remove it",
          ),
        ],
  );
}
