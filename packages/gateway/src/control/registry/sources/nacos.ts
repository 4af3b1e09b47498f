import type { NacosSettings } from "@headgate/schema";
import { z } from "zod";
import { pause } from "../../../core/timers.ts";
import type { RegistrationStatus } from "../registration.ts";
import { addressOf, wholeWeights, type Found, type Source, type SourceParts } from "../source.ts";
import { askJson, StatusError, type HttpQuestion } from "./http.ts";

const answerMs = 10_000;
/** The server says how long its answer may be kept; that is respected between these. */
const keptMsMin = 1_000;
const keptMsMax = 60_000;
/** Of the time that a token holds, when another is asked for. */
const tokenShare = 0.9;

const answer = z.object({
  cacheMillis: z.number().optional(),
  /** Too few instances are healthy: the server names the others as healthy too. */
  reachProtectionThreshold: z.boolean().nullish(),
  hosts: z.array(
    z.object({
      ip: z.string(),
      port: z.int(),
      weight: z.number().nullish(),
      healthy: z.boolean().nullish(),
      enabled: z.boolean().nullish(),
      metadata: z.record(z.string(), z.string()).nullish(),
    }),
  ),
});

const login = z.object({ accessToken: z.string().min(1), tokenTtl: z.number() });

type Ask = (question: Pick<HttpQuestion, "url" | "method" | "form">) => Promise<unknown>;

/**
 * Instances of a service of Nacos 1 and 2, asked for over its open API (version 1) as often as the server says.
 * https://nacos.io/en/docs/v1/open-api/
 */
export function nacosSource(settings: NacosSettings, { clock, timers, random }: SourceParts): Source {
  const { service, url, namespace, group, clusters, username, password, ca } = settings;
  const query = new URLSearchParams({ serviceName: service, groupName: group, namespaceId: namespace });
  if (clusters.length > 0) query.set("clusters", clusters.join(","));
  // Those that are not healthy too: what is down is another thing than what is gone.
  query.set("healthyOnly", "false");
  const token = username === undefined ? undefined : new Token(url, username, password ?? "", clock.now);
  return {
    kind: "nacos",
    place: [`${group}/${service}`, ...clusters, `at ${url}`].join(" "),
    async *follow(signal) {
      const ask: Ask = async (question) =>
        (await askJson({ ...question, ca, signal, timers, timeoutMs: answerMs })).json;
      const list = (accessToken?: string): Promise<unknown> => {
        const all = new URLSearchParams(query);
        if (accessToken !== undefined) all.set("accessToken", accessToken);
        return ask({ url: `${url}/v1/ns/instance/list?${all.toString()}` });
      };
      while (!signal.aborted) {
        const { found, keptMs } = readAnswer(token === undefined ? await list() : await token.use(ask, list), url);
        yield found;
        await pause(timers, keptMs * (0.9 + 0.2 * random()), signal);
      }
    },
  };
}

/** What a login is answered with, for as long as it holds. */
class Token {
  readonly #url: string;
  readonly #form: Readonly<Record<string, string>>;
  readonly #now: () => number;
  #text = "";
  #untilMs = -Infinity;

  constructor(url: string, username: string, password: string, now: () => number) {
    this.#url = url;
    this.#form = { username, password };
    this.#now = now;
  }

  /** A token that is refused before its time (the server has another key, say) is replaced once. */
  async use<T>(ask: Ask, action: (token: string) => Promise<T>): Promise<T> {
    const isFresh = this.#now() >= this.#untilMs;
    if (isFresh) await this.#renew(ask);
    try {
      return await action(this.#text);
    } catch (error) {
      if (!(error instanceof StatusError) || (error.status !== 401 && error.status !== 403)) throw error;
      this.#untilMs = -Infinity;
      if (isFresh) throw error;
    }
    await this.#renew(ask);
    return action(this.#text);
  }

  async #renew(ask: Ask): Promise<void> {
    const askedMs = this.#now();
    const parsed = login.safeParse(await ask({ url: `${this.#url}/v1/auth/login`, method: "POST", form: this.#form }));
    if (!parsed.success) throw new Error(`${this.#url} answered a login with something else than a token`);
    this.#text = parsed.data.accessToken;
    this.#untilMs = askedMs + parsed.data.tokenTtl * 1_000 * tokenShare;
  }
}

function readAnswer(json: unknown, url: string): { readonly found: Found; readonly keptMs: number } {
  const parsed = answer.safeParse(json);
  if (!parsed.success) throw new Error(`${url} answered with something else than instances`);
  const { hosts, cacheMillis = keptMsMin, reachProtectionThreshold } = parsed.data;
  const isProtected = reachProtectionThreshold === true;
  const weights = wholeWeights(hosts.map(({ weight }) => weight ?? 1));
  let odd = 0;
  const instances = hosts.flatMap(({ ip, port, healthy, enabled, metadata }, i) => {
    const address = addressOf(ip, port);
    if (address === undefined) odd++;
    if (address === undefined) return [];
    const weight = weights[i] ?? 1;
    const zone = metadata?.["zone"];
    const version = metadata?.["version"];
    const status = statusOf(healthy !== false || isProtected, enabled !== false && weight > 0);
    return [{ address, status, weight, ...(zone ? { zone } : {}), ...(version ? { version } : {}) }];
  });
  const remarks = [
    ...(isProtected ? ["too few instances are healthy: the server has all of them used (protectThreshold)"] : []),
    ...(odd === 0 ? [] : [`${odd} of its instances have no usable address and port`]),
  ];
  const found: Found = { instances, ...(remarks.length === 0 ? {} : { remark: remarks.join("; ") }) };
  return { found, keptMs: Math.min(keptMsMax, Math.max(keptMsMin, cacheMillis)) };
}

/** One that is switched off, or has no weight, was taken out by somebody: it finishes what it has. */
function statusOf(isHealthy: boolean, isWanted: boolean): RegistrationStatus {
  if (!isWanted) return "DRAINING";
  return isHealthy ? "UP" : "DOWN";
}
