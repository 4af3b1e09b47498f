/** One line of a metrics page. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const labelPattern = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** The samples of some metrics on a page in the Prometheus text format 0.0.4, by name. What is no sample is left out. */
export function parseMetrics(page: string, names: ReadonlySet<string>): ReadonlyMap<string, readonly Sample[]> {
  const found = new Map<string, Sample[]>([...names].map((name) => [name, []]));
  for (const line of page.split("\n")) {
    const end = line.search(/[{ ]/);
    const samples = end < 0 ? undefined : found.get(line.slice(0, end));
    if (samples === undefined) continue;
    const close = line[end] === "{" ? line.lastIndexOf("}") : end;
    const [text = ""] = line
      .slice(close + 1)
      .trim()
      .split(" ");
    const value = text === "+Inf" ? Infinity : Number(text);
    if (text === "" || Number.isNaN(value)) continue;
    const pairs = Array.from(line.slice(end, close).matchAll(labelPattern), ([, name = "", written = ""]) => {
      return [name, written.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character))];
    });
    samples.push({ labels: Object.fromEntries(pairs), value });
  }
  return found;
}
