import { join } from "node:path";
import type { Clock, Random } from "../../../core/clock.ts";
import type { Log } from "../../../core/log.ts";
import type { Timers } from "../../../core/timers.ts";
import type { Metrics } from "../../../telemetry/metrics.ts";
import type { Report, ReportedProblem } from "../../report.ts";
import { LastKnown } from "../last-known.ts";
import type { Source, SourceParts, SourceSettings } from "../source.ts";
import { Sources, type SourceStatus, type SourcesOptions } from "../sources.ts";
import { consulSource } from "./consul.ts";
import { dnsSource } from "./dns.ts";
import { clusterOf, kubernetesSource, type Cluster } from "./kubernetes.ts";
import { nacosSource } from "./nacos.ts";

export interface OpenSourcesOptions {
  /** Absolute. What the sources said last is kept there. */
  readonly dataDir: string;
  /** Of the process: says how to reach the cluster that it runs in. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onChange: SourcesOptions["onChange"];
  readonly report: Pick<Report, "judge">;
  readonly metrics: Pick<Metrics, "gauge">;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

interface SourceLabels {
  readonly [label: string]: string;
  readonly service: string;
  readonly source: string;
}

/** The sources of a gateway, whose problems are reported and counted. None is opened before a service uses it. */
export function openSources(options: OpenSourcesOptions): Sources {
  const { dataDir, env, onChange, report, metrics, clock, timers, random, log } = options;
  const shown = new Map<string, SourceLabels>();
  const tell = (status: readonly SourceStatus[]): void => {
    report.judge("discovery", status.flatMap(problemsOf));
    // A series stays until the process ends: what is not used any more does not fail any more.
    for (const labels of shown.values()) metrics.gauge("discovery_failing", labels).set(0);
    for (const { kind, services, state } of status) {
      for (const service of services) {
        const labels = { service, source: kind };
        shown.set(JSON.stringify(labels), labels);
        metrics.gauge("discovery_failing", labels).set(state === "failing" ? 1 : 0);
      }
    }
  };
  const sources: Sources = new Sources({
    open: (settings) => openSource(settings, { clock, timers, random }, clusterOf(env)),
    lastKnown: new LastKnown({ file: join(dataDir, "last-instances.db"), clock, timers, log }),
    onChange,
    onState: () => tell(sources.status()),
    ...{ clock, timers, random, log },
  });
  return sources;
}

function openSource(settings: SourceSettings, parts: SourceParts, cluster: Cluster): Source {
  if ("dns" in settings) return dnsSource(settings.dns, parts);
  if ("consul" in settings) return consulSource(settings.consul, parts);
  if ("nacos" in settings) return nacosSource(settings.nacos, parts);
  return kubernetesSource(settings.kubernetes, parts, cluster);
}

/** One for each service: that is where people look. Warnings, for the configuration is not at fault and stays live. */
function problemsOf({ kind, place, services, state, instances, problem }: SourceStatus): ReportedProblem[] {
  if (problem === undefined) return [];
  const stay = instances === 0 ? "no instance is known yet" : "the last known instances stay";
  // A failure names the place that was asked.
  const message = state === "failing" ? `${problem}; ${stay}` : `${kind} ${place}: ${problem}`;
  return services.map((service) => ({ severity: "warning", path: `services.${service}.discover.${kind}`, message }));
}
