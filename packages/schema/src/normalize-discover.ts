import type { z } from "zod";
import {
  consulDefaults,
  nacosDefaults,
  readDnsText,
  readKubernetesText,
  type discoverSchema,
} from "./discover-schema.ts";
import type {
  ConsulSettings,
  DiscoverSettings,
  DnsSettings,
  KubernetesSettings,
  NacosSettings,
} from "./discover-settings.ts";

type Written = z.output<typeof discoverSchema>;
type WrittenAs<K extends keyof Written> = Exclude<Written[K], undefined>;

/** One form for what may be written in several; `checkDiscover` has seen that there is exactly one source. */
export function toDiscover({ etcd, dns, consul, nacos, kubernetes }: Written): DiscoverSettings {
  if (dns !== undefined) return { dns: toDns(dns) };
  if (consul !== undefined) return { consul: toConsul(consul) };
  if (nacos !== undefined) return { nacos: toNacos(nacos) };
  if (kubernetes !== undefined) return { kubernetes: toKubernetes(kubernetes) };
  return { etcd: etcd ?? "" };
}

function toDns(written: WrittenAs<"dns">): DnsSettings {
  if (typeof written === "string") {
    const { name = written, ...rest } = readDnsText(written) ?? {};
    return { name: plainName(name), ...rest };
  }
  const { name, port, servers, interval } = written;
  return {
    name: plainName(name),
    ...(port === undefined ? {} : { port }),
    ...(servers === undefined ? {} : { servers }),
    ...(interval === undefined ? {} : { intervalMs: interval }),
  };
}

/** Case means nothing in names, and they are always looked up as if they ended in a dot. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function toConsul(written: WrittenAs<"consul">): ConsulSettings {
  const { service, url, datacenter, namespace, tag, passing, token, ca } =
    typeof written === "string" ? consulDefaults(written) : written;
  return {
    service,
    url: url.replace(/\/+$/, ""),
    ...(datacenter === undefined ? {} : { datacenter }),
    ...(namespace === undefined ? {} : { namespace }),
    tags: tag === undefined ? [] : typeof tag === "string" ? [tag] : tag,
    passing,
    ...(token === undefined ? {} : { token }),
    ...(ca === undefined ? {} : { ca }),
  };
}

function toNacos(written: WrittenAs<"nacos">): NacosSettings {
  const { service, url, namespace, group, clusters, username, password, ca } =
    typeof written === "string" ? nacosDefaults(written) : written;
  const plain = url.replace(/\/+$/, "");
  return {
    service,
    // Nacos serves its API below /nacos unless it is told otherwise.
    url: /^https?:\/\/[^/]+$/.test(plain) ? `${plain}/nacos` : plain,
    namespace,
    group,
    clusters,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(ca === undefined ? {} : { ca }),
  };
}

function toKubernetes(written: WrittenAs<"kubernetes">): KubernetesSettings {
  const {
    service = "",
    namespace,
    port,
    url,
    token,
    ca,
  } = typeof written === "string" ? { url: undefined, token: undefined, ca: undefined, ...readText(written) } : written;
  return {
    service,
    ...(namespace === undefined ? {} : { namespace }),
    ...(port === undefined ? {} : { port }),
    ...(url === undefined ? {} : { url: url.replace(/\/+$/, "") }),
    ...(token === undefined ? {} : { token }),
    ...(ca === undefined ? {} : { ca }),
  };
}

/** The schema has seen that it can be read. */
function readText(text: string): NonNullable<ReturnType<typeof readKubernetesText>> {
  return readKubernetesText(text) ?? { service: text };
}
