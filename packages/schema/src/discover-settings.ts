/*
 * Where the instances of a service are found, after validation: see `resources.ts`. Plain data.
 */

/** Where instances are found: the name under which they announce themselves in the store, or another source. */
export type DiscoverSettings =
  /** The name under the registry's prefix. */
  | { readonly etcd: string }
  | { readonly dns: DnsSettings }
  | { readonly consul: ConsulSettings }
  | { readonly nacos: NacosSettings }
  | { readonly kubernetes: KubernetesSettings };

/** A and AAAA records with a port, or SRV records. */
export interface DnsSettings {
  /** Lower case, without a final dot. `_service._proto.name`: its SRV records. */
  readonly name: string;
  /** Absent: the SRV records say. */
  readonly port?: number;
  /** IP addresses, with `:port` if it is not 53. Absent: the system's. */
  readonly servers?: readonly string[];
  /** Between two looks. Absent: as long as the answer says that it holds. */
  readonly intervalMs?: number;
}

/** A service of Consul. */
export interface ConsulSettings {
  readonly service: string;
  /** Without a final slash. */
  readonly url: string;
  /** Absent: that of the agent. */
  readonly datacenter?: string;
  /** Absent: that of the token. */
  readonly namespace?: string;
  /** All of them. */
  readonly tags: readonly string[];
  /** Whether only instances are used that pass all their checks. */
  readonly passing: boolean;
  readonly token?: string;
  /** PEM. Absent: the authorities that Node.js knows. */
  readonly ca?: string;
}

/** A service of Nacos. */
export interface NacosSettings {
  readonly service: string;
  /** With the path that its API is below, without a final slash. */
  readonly url: string;
  readonly namespace: string;
  readonly group: string;
  /** Empty: all of them. */
  readonly clusters: readonly string[];
  readonly username?: string;
  readonly password?: string;
  /** PEM. Absent: the authorities that Node.js knows. */
  readonly ca?: string;
}

/** The EndpointSlices of a service of Kubernetes. */
export interface KubernetesSettings {
  readonly service: string;
  /** Absent: that of the gateway's pod. */
  readonly namespace?: string;
  /** The name of a port, or the number that the pods listen on. Absent: the only one. */
  readonly port?: number | string;
  /** Without a final slash. Absent: the cluster that the gateway runs in, with its account. */
  readonly url?: string;
  readonly token?: string;
  /** PEM. Absent: the authorities that Node.js knows. */
  readonly ca?: string;
}
