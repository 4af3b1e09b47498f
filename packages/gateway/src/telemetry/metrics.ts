import { factsOf } from "./names.ts";

/**
 * Recording. Values live in cells of shared memory that the control thread reads when someone asks for the page, so
 * recording is one memory access and never a message. Only the thread that owns a `Metrics` writes its cells.
 */

/** Cells of one page of memory, 8 bytes each. */
export const pageCells = 8_192;
/** Series of one metric in one thread; what comes beyond is counted in one series `{overflow="true"}`. */
export const seriesMax = 20_000;

export interface CounterHandle {
  /** Adds a finite amount that is not negative. */
  add(amount: number): void;
}

export interface GaugeHandle {
  set(value: number): void;
  add(amount: number): void;
}

export interface HistogramHandle {
  observe(value: number): void;
}

export type Labels = Readonly<Record<string, string>>;

/** Tells the control thread of a new page or series; sent once for each, in order. */
export type MetricsNews =
  | { readonly page: number; readonly memory: SharedArrayBuffer }
  | {
      readonly series: string;
      readonly type: "counter" | "gauge" | "histogram";
      /** Names and values, alternating, in the order in which they are shown. */
      readonly labels: readonly string[];
      /** Upper bounds of a histogram; its cells are one for each bound, one for +Inf, and the sum. */
      readonly bounds?: readonly number[];
      readonly inPage: number;
      readonly cell: number;
    };

class Cell implements CounterHandle, GaugeHandle {
  readonly #cells: Float64Array;
  readonly #at: number;

  constructor(cells: Float64Array, at: number) {
    this.#cells = cells;
    this.#at = at;
  }

  add(amount: number): void {
    this.#cells[this.#at] = (this.#cells[this.#at] ?? 0) + amount;
  }

  set(value: number): void {
    this.#cells[this.#at] = value;
  }
}

const boundsOf = new WeakMap<readonly number[], Float64Array>();

/** One copy for all histograms of a metric: ten thousand of them would not stay in the processor's cache. */
function sharedBounds(bounds: readonly number[]): Float64Array {
  let shared = boundsOf.get(bounds);
  if (shared === undefined) boundsOf.set(bounds, (shared = Float64Array.from(bounds)));
  return shared;
}

class Buckets implements HistogramHandle {
  readonly #cells: Float64Array;
  readonly #bounds: Float64Array;
  readonly #at: number;

  constructor(cells: Float64Array, at: number, bounds: readonly number[]) {
    this.#cells = cells;
    this.#at = at;
    this.#bounds = sharedBounds(bounds);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    const cells = this.#cells;
    const length = bounds.length;
    let bucket = 0;
    // From below, without a binary search: most values fall into the first buckets, and a dozen bounds share two
    // cache lines.
    while (bucket < length && value > (bounds[bucket] ?? 0)) bucket++;
    const at = this.#at + bucket;
    cells[at] = (cells[at] ?? 0) + 1;
    const sum = this.#at + length + 1;
    cells[sum] = (cells[sum] ?? 0) + value;
  }
}

interface Family {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labelNames: readonly string[];
  readonly series: Map<string, Cell | Buckets>;
  overflow: Cell | Buckets | undefined;
}

const metricNamePattern = /^[a-z][a-z0-9_]*$/;
const labelNamePattern = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** The metrics of one thread. */
export class Metrics {
  readonly #announce: (news: readonly MetricsNews[]) => void;
  readonly #families = new Map<string, Family>();
  #page = -1;
  #cells: Float64Array = new Float64Array(0);
  #used = 0;
  #news: MetricsNews[] = [];

  /** `announce` gets what is new in one call a turn of the event loop. */
  constructor(announce: (news: readonly MetricsNews[]) => void) {
    this.#announce = announce;
  }

  /** The same name and labels give the same handle. Throws on a name that is taken by another type or not valid. */
  counter(name: string, labels: Labels = {}): CounterHandle {
    return this.#find(name, "counter", labels, undefined, isCell);
  }

  gauge(name: string, labels: Labels = {}): GaugeHandle {
    return this.#find(name, "gauge", labels, undefined, isCell);
  }

  /** `bounds`: upper bounds in the unit of the metric, ascending; by default those of the table. */
  histogram(name: string, labels: Labels = {}, bounds?: readonly number[]): HistogramHandle {
    const known = factsOf(name)?.bounds ?? bounds;
    if (known === undefined) throw new Error(`The histogram ${name} has no bounds.`);
    return this.#find(name, "histogram", labels, known, isBuckets);
  }

  #find<Handle extends Cell | Buckets>(
    name: string,
    type: Family["type"],
    labels: Labels,
    bounds: readonly number[] | undefined,
    check: (handle: Cell | Buckets) => handle is Handle,
  ): Handle {
    const family = this.#family(name, type, labels);
    let key = "";
    for (const label of family.labelNames) key += `${labels[label] ?? ""}\u0000`;
    let handle = family.series.get(key);
    if (handle === undefined) {
      if (family.series.size >= seriesMax) {
        handle = family.overflow ??= this.#make(name, type, ["overflow", "true"], bounds);
      } else {
        const pairs = family.labelNames.flatMap((label) => [label, labels[label] ?? ""]);
        handle = this.#make(name, type, pairs, bounds);
        family.series.set(key, handle);
      }
    }
    if (!check(handle)) throw new Error(`The metric ${name} is no ${type}.`);
    return handle;
  }

  #family(name: string, type: Family["type"], labels: Labels): Family {
    let family = this.#families.get(name);
    if (family === undefined) {
      const facts = factsOf(name);
      if (facts === undefined && !metricNamePattern.test(name)) {
        throw new Error(`"${name}" is no name for a metric: use a-z, 0-9 and _, starting with a letter.`);
      }
      if (facts !== undefined && facts.type !== type) throw new Error(`The metric ${name} is a ${facts.type}.`);
      const labelNames = facts?.labels ?? Object.keys(labels).sort();
      family = { type, labelNames, series: new Map(), overflow: undefined };
      this.#families.set(name, family);
    }
    if (family.type !== type) throw new Error(`The metric ${name} is a ${family.type}.`);
    for (const label in labels) {
      if (family.labelNames.includes(label)) continue;
      throw new Error(
        labelNamePattern.test(label)
          ? `The metric ${name} has no label "${label}": its labels are ${family.labelNames.join(", ") || "none"}.`
          : `"${label}" is no name for a label.`,
      );
    }
    return family;
  }

  #make(
    name: string,
    type: Family["type"],
    labels: readonly string[],
    bounds: readonly number[] | undefined,
  ): Cell | Buckets {
    const width = bounds === undefined ? 1 : bounds.length + 2;
    if (this.#used + width > this.#cells.length) this.#addPage();
    const cell = this.#used;
    this.#used += width;
    this.#tell({
      series: name,
      type,
      labels,
      inPage: this.#page,
      cell,
      ...(bounds === undefined ? {} : { bounds }),
    });
    return bounds === undefined ? new Cell(this.#cells, cell) : new Buckets(this.#cells, cell, bounds);
  }

  #addPage(): void {
    const memory = new SharedArrayBuffer(pageCells * Float64Array.BYTES_PER_ELEMENT);
    this.#cells = new Float64Array(memory);
    this.#used = 0;
    this.#page++;
    this.#tell({ page: this.#page, memory });
  }

  #tell(news: MetricsNews): void {
    this.#news.push(news);
    if (this.#news.length > 1) return;
    queueMicrotask(() => {
      const told = this.#news;
      this.#news = [];
      this.#announce(told);
    });
  }
}

function isCell(handle: Cell | Buckets): handle is Cell {
  return handle instanceof Cell;
}

function isBuckets(handle: Cell | Buckets): handle is Buckets {
  return handle instanceof Buckets;
}
