import type { MetricsNews } from "./metrics.ts";
import { exposedName, factsOf, metrics, type MetricName } from "./names.ts";

/** Content type of the page: the Prometheus text format, version 0.0.4. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/** Characters rendered before the loop gets a turn: about a millisecond of work. */
const chunkCharacters = 64 * 1024;

/** A thread whose metrics are on the page. */
export interface MetricsSource {
  accept(news: readonly MetricsNews[]): void;
  /** This thread's part of a gauge or counter, over all its labels. */
  total(name: string): number;
  /** The thread is gone: its counts stay in the sums, its gauges do not. */
  retire(): void;
}

interface Part {
  readonly cells: Float64Array;
  readonly at: number;
}

interface Series {
  /** `a="1",b="2"`, escaped; empty without labels. */
  readonly labels: string;
  /** Sums of threads that are gone. */
  readonly kept: Float64Array;
  readonly parts: Map<object, Part>;
}

interface Family {
  readonly type: "counter" | "gauge" | "histogram";
  readonly bounds: readonly number[];
  readonly series: Map<string, Series>;
}

/** One value of a metric that is read when a page is made. */
export interface Sample {
  /** Name, value, name, value, ... */
  readonly labels: readonly string[];
  readonly value: number;
}

/** Series of a metric that is read when a page is made; what there is beyond is left out. */
export const samplesMax = 20_000;

/** All threads' metrics as one page. Lives in the control thread. */
export class MetricsPage {
  readonly #families = new Map<string, Family>();
  readonly #collectors: (() => void)[] = [];
  readonly #read = new Map<string, () => Iterable<Sample>>();
  /** Samples on the last page. */
  #sampleCount = 0;

  /** Runs before each rendering, to set gauges that are only worth reading then. */
  onCollect(collector: () => void): void {
    this.#collectors.push(collector);
  }

  /**
   * A gauge that is read when a page is made, instead of recorded: its series are of what there is then, and vanish with
   * it. `samples` must not throw.
   */
  onRead(name: MetricName, samples: () => Iterable<Sample>): void {
    this.#read.set(name, samples);
  }

  /** `worker` is the value of the label by which per-worker gauges are told apart. */
  attach(worker: string): MetricsSource {
    const source = {};
    const pages = new Map<number, Float64Array>();
    return {
      accept: (news) => {
        for (const item of news) {
          if ("page" in item) pages.set(item.page, new Float64Array(item.memory));
          else this.#add(source, pages, worker, item);
        }
      },
      total: (name) => this.#totalOf(source, name),
      retire: () => this.#retire(source),
    };
  }

  get seriesCount(): number {
    let count = this.#sampleCount;
    for (const family of this.#families.values()) count += family.series.size;
    return count;
  }

  /** The page, in pieces. `breathe` resolves after other work had its turn: a big page must not hold the loop. */
  async *render(breathe: () => Promise<void>): AsyncGenerator<string, void, void> {
    for (const collector of this.#collectors) collector();
    // Series that a collector uses for the first time are announced at the end of this turn.
    await Promise.resolve();
    let text = "";
    let samples = 0;
    // Those without a series too: what can be asked for should be seen before it first happens.
    for (const name of [...new Set([...Object.keys(metrics), ...this.#families.keys()])].sort()) {
      const family = this.#families.get(name);
      const type = family?.type ?? factsOf(name)?.type;
      if (type === undefined) continue;
      const shown = exposedName(name);
      const help = factsOf(name)?.help ?? "Counted by a middleware.";
      text += `# HELP ${shown} ${escapeHelp(help)}\n# TYPE ${shown} ${type}\n`;
      for (const line of this.#lines(name, shown, type, family)) {
        text += line;
        if (text.length >= chunkCharacters) {
          yield text;
          text = "";
          await breathe();
        }
        if (family === undefined) samples++;
      }
    }
    this.#sampleCount = samples;
    if (text !== "") yield text;
  }

  *#lines(
    name: string,
    shown: string,
    type: Family["type"],
    family: Family | undefined,
  ): Generator<string, void, undefined> {
    for (const series of family?.series.values() ?? []) {
      yield type === "histogram" ? renderHistogram(shown, series, family?.bounds ?? []) : renderValue(shown, series);
    }
    let left = samplesMax;
    for (const { labels, value } of this.#read.get(name)?.() ?? []) {
      if (left-- === 0) return;
      yield `${shown}{${labelText(labels)}} ${number(value)}\n`;
    }
  }

  #add(
    source: object,
    pages: ReadonlyMap<number, Float64Array>,
    worker: string,
    item: Extract<MetricsNews, { readonly series: string }>,
  ): void {
    const cells = pages.get(item.inPage);
    if (cells === undefined) return;
    let family = this.#families.get(item.series);
    if (family === undefined) {
      family = { type: item.type, bounds: item.bounds ?? [], series: new Map() };
      this.#families.set(item.series, family);
    }
    // Two workers can disagree only where a middleware's own metric changed its type between snapshots.
    if (family.type !== item.type || family.bounds.length !== (item.bounds?.length ?? 0)) return;
    const perWorker = factsOf(item.series)?.perWorker === true;
    const labels = labelText(perWorker ? [...item.labels, "worker", worker] : item.labels);
    let series = family.series.get(labels);
    if (series === undefined) {
      const width = item.type === "histogram" ? family.bounds.length + 2 : 1;
      series = { labels, kept: new Float64Array(width), parts: new Map() };
      family.series.set(labels, series);
    }
    series.parts.set(source, { cells, at: item.cell });
  }

  #totalOf(source: object, name: string): number {
    let sum = 0;
    for (const { parts } of this.#families.get(name)?.series.values() ?? []) {
      const part = parts.get(source);
      if (part !== undefined) sum += part.cells[part.at] ?? 0;
    }
    return sum;
  }

  #retire(source: object): void {
    for (const family of this.#families.values()) {
      for (const [key, series] of family.series) {
        const part = series.parts.get(source);
        if (part === undefined) continue;
        series.parts.delete(source);
        if (family.type === "gauge") {
          if (series.parts.size === 0) family.series.delete(key);
          continue;
        }
        for (let i = 0; i < series.kept.length; i++) {
          series.kept[i] = (series.kept[i] ?? 0) + (part.cells[part.at + i] ?? 0);
        }
      }
    }
  }
}

function total(series: Series, index: number): number {
  let sum = series.kept[index] ?? 0;
  for (const part of series.parts.values()) sum += part.cells[part.at + index] ?? 0;
  return sum;
}

function renderValue(name: string, series: Series): string {
  const labels = series.labels === "" ? "" : `{${series.labels}}`;
  return `${name}${labels} ${number(total(series, 0))}\n`;
}

function renderHistogram(name: string, series: Series, bounds: readonly number[]): string {
  const before = series.labels === "" ? "" : `${series.labels},`;
  let text = "";
  let count = 0;
  for (const [index, bound] of bounds.entries()) {
    count += total(series, index);
    text += `${name}_bucket{${before}le="${number(bound)}"} ${number(count)}\n`;
  }
  count += total(series, bounds.length);
  const after = series.labels === "" ? "" : `{${series.labels}}`;
  text += `${name}_bucket{${before}le="+Inf"} ${number(count)}\n`;
  return `${text}${name}_sum${after} ${number(total(series, bounds.length + 1))}\n${name}_count${after} ${number(count)}\n`;
}

function number(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}

function labelText(pairs: readonly string[]): string {
  let text = "";
  for (let i = 0; i < pairs.length; i += 2) {
    text += `${text === "" ? "" : ","}${pairs[i] ?? ""}="${escapeValue(pairs[i + 1] ?? "")}"`;
  }
  return text;
}

function escapeValue(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n") : value;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
