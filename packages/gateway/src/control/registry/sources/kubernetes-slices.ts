import { z } from "zod";
import type { RegistrationStatus } from "../registration.ts";
import { addressOf, type Found, type FoundInstance } from "../source.ts";

/** An EndpointSlice (discovery.k8s.io/v1), as far as it is read. */
export const sliceSchema = z.object({
  metadata: z.object({ name: z.string().min(1), resourceVersion: z.string() }),
  addressType: z.string(),
  ports: z
    .array(z.object({ name: z.string().nullish(), port: z.int().nullish(), protocol: z.string().nullish() }))
    .nullish(),
  endpoints: z
    .array(
      z.object({
        addresses: z.array(z.string()).min(1),
        conditions: z
          .object({
            ready: z.boolean().nullish(),
            serving: z.boolean().nullish(),
            terminating: z.boolean().nullish(),
          })
          .nullish(),
        zone: z.string().nullish(),
      }),
    )
    .nullish(),
});

export type Slice = z.output<typeof sliceSchema>;

type Endpoint = NonNullable<Slice["endpoints"]>[number];

/**
 * The instances of a service by all its slices: at the port that is wanted (its name, or the number that the pods listen
 * on; `undefined`: the only one). An endpoint that moves from one slice to another may be in both; who reads the
 * instances keeps one. Of a service with both families the IPv4 addresses are taken, or each pod would be two instances.
 * Where no instance is ready those that still serve while they end are used, as kube-proxy does. Pure.
 */
export function foundInSlices(slices: Iterable<Slice>, wanted: number | string | undefined): Found {
  const all = [...slices].filter(({ addressType }) => addressType === "IPv4" || addressType === "IPv6");
  const hasFour = all.some(({ addressType, endpoints }) => addressType === "IPv4" && (endpoints ?? []).length > 0);
  const used = all.filter(({ addressType }) => !hasFour || addressType === "IPv4");
  const unmatched = new Set<string>();
  const instances: FoundInstance[] = [];
  for (const slice of used) {
    if ((slice.endpoints ?? []).length === 0) continue;
    const port = portOf(slice, wanted);
    if (port === undefined) unmatched.add(describePorts(slice));
    else instances.push(...(slice.endpoints ?? []).flatMap((endpoint) => instanceOf(endpoint, port)));
  }
  return { instances: withEnding(instances), ...remarkOf(unmatched, wanted, instances.length) };
}

function portOf({ ports }: Slice, wanted: number | string | undefined): number | undefined {
  const open = tcpPorts(ports);
  if (wanted === undefined) return open.length === 1 ? open[0]?.port : undefined;
  return open.find(({ name, port }) => (typeof wanted === "number" ? port === wanted : name === wanted))?.port;
}

function tcpPorts(ports: Slice["ports"]): { readonly name: string; readonly port: number }[] {
  return (ports ?? []).flatMap(({ name, port, protocol }) =>
    typeof port === "number" && (protocol ?? "TCP") === "TCP" ? [{ name: name ?? "", port }] : [],
  );
}

function describePorts({ ports }: Slice): string {
  const open = tcpPorts(ports).map(({ name, port }) => (name === "" ? String(port) : `${name} (${port})`));
  return open.length === 0 ? "none" : open.join(", ");
}

function remarkOf(
  unmatched: ReadonlySet<string>,
  wanted: number | string | undefined,
  count: number,
): { remark?: string } {
  if (unmatched.size === 0) return {};
  const there = [...unmatched].join("; ");
  const remark =
    wanted === undefined
      ? `it has not one TCP port but ${there}: name the one to use`
      : `${count === 0 ? "it" : "some of it"} has no TCP port ${wanted}; there is: ${there}`;
  return { remark };
}

/** Consumers may look at the first address only, and the others have no meaning of their own. */
function instanceOf(endpoint: Endpoint, port: number): FoundInstance[] {
  const address = addressOf(endpoint.addresses[0] ?? "", port);
  if (address === undefined) return [];
  const { zone } = endpoint;
  return [{ address, status: statusOf(endpoint.conditions), weight: 1, ...(zone ? { zone } : {}) }];
}

/** What is not said counts as ready; `ready` is not true while it terminates, but where the service asks for that. */
function statusOf(conditions: Endpoint["conditions"]): RegistrationStatus {
  const { ready, serving, terminating } = conditions ?? {};
  if (ready ?? terminating !== true) return "UP";
  return terminating === true && serving === true ? "DRAINING" : "DOWN";
}

function withEnding(instances: readonly FoundInstance[]): readonly FoundInstance[] {
  if (instances.some(({ status }) => status === "UP")) return instances;
  return instances.map((one) => (one.status === "DRAINING" ? { ...one, status: "UP" } : one));
}
