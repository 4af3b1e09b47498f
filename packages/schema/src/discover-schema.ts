import { z } from "zod";
import { isIpv4, isIpv6 } from "./network-syntax.ts";
import * as leaf from "./leaves.ts";
import { quote } from "./problems.ts";
import { duration } from "./units.ts";

/*
 * Where the instances of a service are found, beside those that are written down. Each source is a map, or a text where
 * one setting says enough. `docs/discovery.md` describes what each does.
 */

const nonEmpty = z.string().min(1);
const url = leaf.checkedText(urlProblem);
const credential = leaf.checkedText(leaf.headerValueProblem);
const word = leaf.checkedText(wordProblem);
const port = z.int().min(1).max(65_535);

const dnsSchema = z.strictObject({
  name: leaf.checkedText(dnsNameProblem),
  port: port.optional(),
  servers: z.array(leaf.checkedText(dnsServerProblem)).min(1).optional(),
  interval: duration({ minMs: 1_000, maxMs: 24 * 3_600_000 }).optional(),
});

const consulSchema = z.strictObject({
  service: word,
  url: url.prefault("http://127.0.0.1:8500"),
  datacenter: word.optional(),
  namespace: word.optional(),
  tag: z.union([word, z.array(word).min(1)]).optional(),
  passing: z.boolean().prefault(true),
  token: credential.optional(),
  ca: nonEmpty.optional(),
});

const nacosSchema = z.strictObject({
  service: word,
  url: url.prefault("http://127.0.0.1:8848/nacos"),
  namespace: word.prefault("public"),
  group: word.prefault("DEFAULT_GROUP"),
  clusters: z.array(word).prefault([]),
  username: nonEmpty.optional(),
  password: z.string().optional(),
  ca: nonEmpty.optional(),
});

const kubernetesSchema = z.strictObject({
  service: leaf.checkedText(kubernetesNameProblem),
  namespace: leaf.checkedText(kubernetesNameProblem).optional(),
  port: z.union([port, leaf.checkedText(kubernetesNameProblem)]).optional(),
  url: url.optional(),
  token: credential.optional(),
  ca: nonEmpty.optional(),
});

/** Exactly one of them; `checkDiscover` sees to it. */
export const discoverSchema = z.strictObject({
  etcd: leaf.checkedText(leaf.nameProblem).optional(),
  dns: z.union([leaf.checkedText(dnsTextProblem), dnsSchema]).optional(),
  consul: z.union([word, consulSchema]).optional(),
  nacos: z.union([word, nacosSchema]).optional(),
  kubernetes: z.union([leaf.checkedText(kubernetesTextProblem), kubernetesSchema]).optional(),
});

/** What a name alone means. */
export const consulDefaults = (service: string): z.output<typeof consulSchema> => consulSchema.parse({ service });

/** What a name alone means. */
export const nacosDefaults = (service: string): z.output<typeof nacosSchema> => nacosSchema.parse({ service });

/** `_service._proto.name`: a name of SRV records, RFC 2782. */
export function isSrvName(name: string): boolean {
  return /^_[^.]+\._[^.]+\./.test(name);
}

/** `name:port` or `_service._proto.name`; undefined for a text that is neither. */
export function readDnsText(text: string): { readonly name: string; readonly port?: number } | undefined {
  if (isSrvName(text)) return dnsNameProblem(text) === undefined ? { name: text } : undefined;
  const [, name = "", digits = ""] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  const number = Number(digits);
  return dnsNameProblem(name) === undefined && number >= 1 && number <= 65_535 ? { name, port: number } : undefined;
}

/** `namespace/service:port` with what may be left out; undefined for another text. */
export function readKubernetesText(
  text: string,
): { readonly service: string; readonly namespace?: string; readonly port?: number | string } | undefined {
  const [found, namespace, service = "", written] = /^(?:([^/:]+)\/)?([^/:]+)(?::([^/:]+))?$/.exec(text) ?? [];
  if (found === undefined) return undefined;
  const number = written !== undefined && /^\d+$/.test(written) ? Number(written) : undefined;
  if (number !== undefined && (number < 1 || number > 65_535)) return undefined;
  const names = [namespace, service, number === undefined ? written : undefined];
  if (names.some((one) => one !== undefined && kubernetesNameProblem(one) !== undefined)) return undefined;
  const wanted = number ?? written;
  return {
    service,
    ...(namespace === undefined ? {} : { namespace }),
    ...(wanted === undefined ? {} : { port: wanted }),
  };
}

function dnsTextProblem(text: string): string | undefined {
  if (readDnsText(text) !== undefined) return undefined;
  if (isIpv4(text.replace(/:\d+$/, ""))) return `${quote(text)} is an address: write it under "instances"`;
  return `${quote(text)} is neither a name and a port such as "users.internal:8080" nor SRV records such as "_http._tcp.users.internal"`;
}

function dnsNameProblem(name: string): string | undefined {
  const labels = name.replace(/\.$/, "").split(".");
  const fits =
    name.length <= 254 && labels.every((label) => /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
  if (!fits) return `${quote(name)} is not a name such as "users.internal"`;
  return isIpv4(name) ? `${quote(name)} is an address: write it under "instances"` : undefined;
}

function dnsServerProblem(server: string): string | undefined {
  const [, bracketed, plain, digits = "53"] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(server) ?? [];
  const isAddress = isIpv6(server) || isIpv6(bracketed ?? "") || isIpv4(plain ?? "");
  return isAddress && Number(digits) >= 1 && Number(digits) <= 65_535
    ? undefined
    : `${quote(server)} is not the address of a DNS server such as "10.0.0.2" or "10.0.0.2:5353"`;
}

/** Where an API is. Credentials have keys of their own, so that the address can be shown. */
function urlProblem(text: string): string | undefined {
  const expected = `${quote(text.replace(/\/\/[^/]*@/, "//"))} is not a URL such as "http://127.0.0.1:8500"`;
  const parts = /^https?:\/\/([^/?#@]+)((?:\/[A-Za-z0-9._~-]*)*)$/.exec(text);
  if (parts === null) return expected;
  const [, host = ""] = parts;
  const withPort = /:\d+$/.test(host) && !host.endsWith("]") ? host : `${host}:80`;
  return leaf.addressProblem(withPort, 1, true) === undefined ? undefined : expected;
}

function wordProblem(text: string): string | undefined {
  return /^[\x21-\x7e]{1,256}$/.test(text) ? undefined : `${quote(text)} is not a name of up to 256 visible characters`;
}

/** A DNS label, RFC 1123, as names of Kubernetes are. */
function kubernetesNameProblem(name: string): string | undefined {
  return /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)
    ? undefined
    : `${quote(name)} is not a name: expected up to 63 lower-case letters, digits and dashes`;
}

function kubernetesTextProblem(text: string): string | undefined {
  return readKubernetesText(text) === undefined
    ? `${quote(text)} is not a service such as "users:http" or "shop/users:8080"`
    : undefined;
}
