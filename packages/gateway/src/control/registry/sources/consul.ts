import { createHash } from "node:crypto";
import type { ConsulSettings } from "@headgate/schema";
import { z } from "zod";
import { pause } from "../../../core/timers.ts";
import type { RegistrationStatus } from "../registration.ts";
import { addressOf, type Found, type FoundInstance, type Source, type SourceParts } from "../source.ts";
import { askJson } from "./http.ts";
import { Pace } from "./pace.ts";

/** How long the server may hold a question back while nothing changes; it adds up to a sixteenth. */
const waitMs = 300_000;
/** Beside the time that the server may take. */
const graceMs = 2_000;
/** Of a question that it should answer at once. */
const answerMs = 10_000;

const answer = z.array(
  z.object({
    Node: z.object({ Address: z.string().nullish(), Locality: z.object({ Zone: z.string().nullish() }).nullish() }),
    Service: z.object({
      Address: z.string().nullish(),
      Port: z.int(),
      Weights: z.object({ Passing: z.number(), Warning: z.number() }).nullish(),
      Meta: z.record(z.string(), z.string()).nullish(),
      Locality: z.object({ Zone: z.string().nullish() }).nullish(),
    }),
    Checks: z.array(z.object({ Status: z.string() })).nullish(),
  }),
);

/**
 * Instances of a service of Consul, by blocking queries of its health endpoint.
 * https://developer.hashicorp.com/consul/api-docs/features/blocking
 */
export function consulSource(settings: ConsulSettings, { clock, timers }: SourceParts): Source {
  const { service, url, token, ca, datacenter, tags } = settings;
  const headers = token === undefined ? {} : { "x-consul-token": token };
  return {
    kind: "consul",
    place: [service, ...tags.map((tag) => `#${tag}`), datacenter, `at ${url}`].filter(Boolean).join(" "),
    async *follow(signal) {
      const pace = new Pace(clock);
      let index = 0;
      let before = "";
      for (;;) {
        await pause(timers, pace.next(), signal);
        if (signal.aborted) return;
        const { json, text, header } = await askJson({
          ...{ url: questionOf(settings, index), headers, ca, signal, timers },
          timeoutMs: index === 0 ? answerMs : waitMs + waitMs / 16 + graceMs,
        });
        index = nextIndex(index, header("x-consul-index"));
        // The index counts changes of all services: most answers say what the last one said.
        const digest = createHash("sha256").update(text).digest("base64");
        if (digest === before) continue;
        before = digest;
        yield foundOf(json, url);
      }
    },
  };
}

function questionOf({ service, url, datacenter, namespace, tags, passing }: ConsulSettings, index: number): string {
  const query = new URLSearchParams();
  if (passing) query.set("passing", "1");
  if (datacenter !== undefined) query.set("dc", datacenter);
  if (namespace !== undefined) query.set("ns", namespace);
  for (const tag of tags) query.append("tag", tag);
  if (index > 0) {
    query.set("index", String(index));
    query.set("wait", `${waitMs / 1_000}s`);
  }
  return `${url}/v1/health/service/${encodeURIComponent(service)}?${query.toString()}`;
}

/**
 * One that goes back (a server restored, a snapshot taken over) begins anew, or changes up to the old one would be
 * missed; one that is not above 0 would not block, and counts as 1.
 */
function nextIndex(index: number, header: string | undefined): number {
  const next = Number(header ?? "none");
  if (!Number.isFinite(next)) throw new Error("Consul answered without an index");
  return next < index ? 0 : Math.max(1, next);
}

function foundOf(json: unknown, url: string): Found {
  const parsed = answer.safeParse(json);
  if (!parsed.success) throw new Error(`${url} answered with something else than instances`);
  const instances: FoundInstance[] = [];
  let odd = 0;
  for (const { Node, Service, Checks } of parsed.data) {
    // A service without an address of its own has that of its node.
    const address = addressOf(Service.Address || Node.Address || "", Service.Port);
    if (address === undefined) {
      odd++;
      continue;
    }
    const zone = Service.Locality?.Zone || Node.Locality?.Zone || Service.Meta?.["zone"];
    const version = Service.Meta?.["version"];
    instances.push({
      address,
      ...healthOf(Checks ?? [], Service.Weights ?? { Passing: 1, Warning: 1 }),
      ...(zone ? { zone } : {}),
      ...(version ? { version } : {}),
    });
  }
  return { instances, ...(odd === 0 ? {} : { remark: `${odd} of its instances have no usable address and port` }) };
}

/** The worst of its checks decides, as in Consul. Maintenance is a critical one. */
function healthOf(
  checks: readonly { readonly Status: string }[],
  weights: { readonly Passing: number; readonly Warning: number },
): { status: RegistrationStatus; weight: number } {
  const has = (status: string): boolean => checks.some(({ Status }) => Status === status);
  const weight = has("warning") ? weights.Warning : weights.Passing;
  return { status: has("critical") ? "DOWN" : "UP", weight: Math.max(0, Math.round(weight)) };
}
