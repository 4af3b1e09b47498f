import { Resolver } from "node:dns/promises";
import type { DnsSettings } from "@headgate/schema";
import { pause } from "../../../core/timers.ts";
import { addressOf, wholeWeights, type Found, type FoundInstance, type Source, type SourceParts } from "../source.ts";

/** Between two looks where no time to live says otherwise; give or take a tenth. */
const intervalMsDefault = 30_000;
/** A name that is not there may be about to be. */
const absentIntervalMs = 10_000;
/** A time to live is respected between these. */
const ttlMsMin = 1_000;
const ttlMsMax = 3_600_000;
/** A name that is gone has its last addresses for so long: most often it is a mistake in the zone, soon mended. */
const emptyKeptMs = 300_000;
/** Of one query to one server; doubled for the second try. */
const queryMs = 2_000;
/** Of all queries of one look. */
const lookMs = 10_000;
/** Targets of SRV records that are looked up. */
const targetsMax = 1_000;

/**
 * Instances from DNS: the A and AAAA records of a name, or its SRV records (RFC 2782) with the addresses of their
 * targets. Asks the servers as a resolver library does (UDP, then TCP where an answer is cut), not the hosts file, and
 * takes names as they are, without a search list.
 */
export function dnsSource(settings: DnsSettings, { timers, random }: SourceParts): Source {
  const { name, port } = settings;
  return {
    kind: "dns",
    place: port === undefined ? name : `${name}:${port}`,
    emptyKeptMs,
    async *follow(signal) {
      const looks = new Looks(settings);
      while (!signal.aborted) {
        const { instances, remark, ttlMs } = await looks.look(signal, (cancel) => timers.after(lookMs, cancel));
        yield { instances, ...(remark === undefined ? {} : { remark }) };
        await pause(timers, nextMs(settings.intervalMs, instances.length, ttlMs, random()), signal);
      }
    },
  };
}

/** A resolver counts its copy's time to live down: a moment after its end it has asked for a new one. */
function nextMs(intervalMs: number | undefined, count: number, ttlMs: number, chance: number): number {
  if (intervalMs !== undefined) return intervalMs * (0.9 + 0.2 * chance);
  if (count === 0) return absentIntervalMs * (0.9 + 0.2 * chance);
  if (ttlMs === Infinity) return intervalMsDefault * (0.9 + 0.2 * chance);
  return Math.min(ttlMsMax, Math.max(ttlMsMin, ttlMs)) * (1 + 0.1 * chance);
}

interface Look extends Found {
  /** The shortest of the answers; Infinity where none says. */
  readonly ttlMs: number;
}

interface Host {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
  readonly remark?: string;
}

type Family = "A" | "AAAA";

class Looks {
  readonly #settings: DnsSettings;
  /** The last answer to each question, for the time when one of two families is not answered. */
  readonly #last = new Map<string, Answer>();

  constructor(settings: DnsSettings) {
    this.#settings = settings;
  }

  /** `armDeadline`: starts the time after which the look is given up. Rejects with one sentence. */
  async look(signal: AbortSignal, armDeadline: (cancel: () => void) => () => void): Promise<Look> {
    // A new one each time: it reads the system's servers anew, and remembers no answers.
    const resolver = new Resolver({ timeout: queryMs, tries: 2 });
    const { servers, name, port } = this.#settings;
    if (servers !== undefined) resolver.setServers(servers);
    let late = false;
    const cancel = (): void => resolver.cancel();
    const disarm = armDeadline(() => {
      late = true;
      cancel();
    });
    signal.addEventListener("abort", cancel);
    try {
      return port === undefined ? await this.#services(resolver, name) : await this.#plain(resolver, name, port);
    } catch (error) {
      if (late) throw new Error(`${name}: no answer within ${lookMs / 1_000} s`, { cause: error });
      throw error;
    } finally {
      disarm();
      signal.removeEventListener("abort", cancel);
    }
  }

  async #plain(resolver: Resolver, name: string, port: number): Promise<Look> {
    const host = await this.#host(resolver, name);
    if (host === undefined) return { instances: [], remark: `${name} has no address`, ttlMs: Infinity };
    const { addresses, ttlMs, remark } = host;
    const weights = addresses.map(() => 1);
    return { instances: instancesOf(addresses, port, weights), ttlMs, ...(remark === undefined ? {} : { remark }) };
  }

  /**
   * Of the SRV records those of the lowest priority whose targets have addresses. A target's weight is shared by its
   * addresses.
   */
  async #services(resolver: Resolver, name: string): Promise<Look> {
    const records = await answered(resolver.resolveSrv(name), "SRV", name);
    const none = { instances: [], ttlMs: Infinity };
    // One record with the root as its target says that the service is decidedly not there.
    const offered = records.filter((record) => record.name !== "" && record.name !== ".");
    if (offered.length === 0) return { ...none, remark: `${name} has no SRV records` };
    if (offered.length > targetsMax) throw new Error(`${name}: more than ${targetsMax} SRV records`);
    const missing: string[] = [];
    const classes = Map.groupBy(offered, ({ priority }) => priority);
    for (const priority of [...classes.keys()].sort((a, b) => a - b)) {
      const targets = classes.get(priority) ?? [];
      const hosts = await Promise.all(targets.map((target) => this.#host(resolver, target.name.toLowerCase())));
      const weights = srvWeights(targets.map(({ weight }, i) => ({ weight, count: hosts[i]?.addresses.length ?? 0 })));
      const instances = targets.flatMap(({ port }, i) => {
        const addresses = hosts[i]?.addresses ?? [];
        const weight = weights[i] ?? 1;
        return instancesOf(
          addresses,
          port,
          addresses.map(() => weight),
        );
      });
      missing.push(...targets.filter((_, i) => hosts[i] === undefined).map((target) => target.name));
      if (instances.length === 0) continue;
      const remark = missing.length > 0 ? `${missing.join(", ")}: no address` : hosts.find((h) => h?.remark)?.remark;
      const ttlMs = Math.min(intervalMsDefault, ...hosts.map((host) => host?.ttlMs ?? Infinity));
      return { instances, ttlMs, ...(remark === undefined ? {} : { remark }) };
    }
    return { ...none, remark: `${name}: no target of its SRV records has an address` };
  }

  /** Its addresses; `undefined`: it has none. Rejects where that cannot be known. */
  async #host(resolver: Resolver, name: string): Promise<Host | undefined> {
    const [four, six] = await Promise.allSettled([
      this.#family(resolver.resolve4(name, { ttl: true }), "A", name),
      this.#family(resolver.resolve6(name, { ttl: true }), "AAAA", name),
    ]);
    const failed = four.status === "rejected" ? four : six.status === "rejected" ? six : undefined;
    // Many a server fails for the family that its owner does not use. The other one's answer is used, and what was last
    // known of this one.
    const answers = [
      four.status === "fulfilled" ? four.value : this.#last.get(`A ${name}`),
      six.status === "fulfilled" ? six.value : this.#last.get(`AAAA ${name}`),
    ];
    const fresh = [four, six].some((one) => one.status === "fulfilled" && one.value.addresses.length > 0);
    if (failed !== undefined && !fresh) throw new Error(messageOf(failed.reason), { cause: failed.reason });
    const addresses = answers.flatMap((answer) => answer?.addresses ?? []);
    if (addresses.length === 0) return undefined;
    const ttlMs = Math.min(...answers.map((answer) => answer?.ttlMs ?? Infinity));
    return { addresses, ttlMs, ...(failed === undefined ? {} : { remark: messageOf(failed.reason) }) };
  }

  async #family(query: Promise<readonly AddressRecord[]>, family: Family, name: string): Promise<Answer> {
    const records = await answered(query, family, name);
    const ttlMs = Math.min(...records.map(({ ttl }) => ttl * 1_000));
    const answer = { addresses: records.map(({ address }) => address), ttlMs };
    this.#last.set(`${family} ${name}`, answer);
    return answer;
  }
}

interface Answer {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
}

interface AddressRecord {
  readonly address: string;
  /** Seconds. */
  readonly ttl: number;
}

/** The records; none where the server says that there are none, or no such name. Rejects with one sentence. */
async function answered<T>(query: Promise<readonly T[]>, what: string, name: string): Promise<readonly T[]> {
  try {
    return await query;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "ENOTFOUND" || code === "ENODATA") return [];
    throw new Error(`${name}: the query for ${what} records failed (${code || messageOf(error)})`, { cause: error });
  }
}

function instancesOf(addresses: readonly string[], port: number, weights: readonly number[]): FoundInstance[] {
  return addresses.flatMap((host, i) => {
    const address = addressOf(host, port);
    return address === undefined ? [] : [{ address, status: "UP", weight: weights[i] ?? 1 }];
  });
}

/**
 * RFC 2782: shares are in proportion to the weights. A weight of 0 beside others means a very small share, here a
 * hundredth of the smallest other one; where all are 0 they are equal.
 */
function srvWeights(targets: readonly { readonly weight: number; readonly count: number }[]): readonly number[] {
  const smallest = Math.min(...targets.map(({ weight }) => weight).filter((weight) => weight > 0));
  const shares = targets.map(({ weight, count }) => {
    const share = smallest === Infinity ? 1 : weight === 0 ? smallest / 100 : weight;
    return count === 0 ? share : share / count;
  });
  return wholeWeights(shares);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
