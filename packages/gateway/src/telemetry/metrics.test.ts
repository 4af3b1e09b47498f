import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Metrics, pageCells, seriesMax, type MetricsNews } from "./metrics.ts";
import { MetricsPage, samplesMax } from "./metrics-page.ts";
import { exposedName, metrics as table } from "./names.ts";

const breathe = (): Promise<void> => Promise.resolve();

function worker(page: MetricsPage, name: string): { metrics: Metrics; retire: () => void } {
  const source = page.attach(name);
  return { metrics: new Metrics((news) => source.accept(news)), retire: () => source.retire() };
}

async function rendered(page: MetricsPage): Promise<string> {
  await Promise.resolve();
  let text = "";
  for await (const piece of page.render(breathe)) text += piece;
  return text;
}

test("the same name and labels give the same handle, whatever the order of the labels", () => {
  const metrics = new Metrics(() => {});
  const one = metrics.counter("requests_total", { route: "a", service: "s", method: "GET", status: "200" });
  const same = metrics.counter("requests_total", { status: "200", method: "GET", service: "s", route: "a" });
  const other = metrics.counter("requests_total", { route: "b", service: "s", method: "GET", status: "200" });
  assert.equal(one, same);
  assert.notEqual(one, other);
});

test("counters and histograms of all workers are summed, and those of a dead worker stay in the sum", async () => {
  const page = new MetricsPage();
  const first = worker(page, "1");
  const second = worker(page, "2");
  for (const [{ metrics }, amount] of [
    [first, 2],
    [second, 5],
  ] as const) {
    metrics.counter("rate_limited_total", { route: "a" }).add(amount);
    metrics.histogram("upstream_duration_seconds", { service: "s" }).observe(amount);
  }
  const expected = [
    'headgate_rate_limited_total{route="a"} 7',
    'headgate_upstream_duration_seconds_bucket{service="s",le="1"} 0',
    'headgate_upstream_duration_seconds_bucket{service="s",le="2.5"} 1',
    'headgate_upstream_duration_seconds_bucket{service="s",le="5"} 2',
    'headgate_upstream_duration_seconds_bucket{service="s",le="+Inf"} 2',
    'headgate_upstream_duration_seconds_sum{service="s"} 7',
    'headgate_upstream_duration_seconds_count{service="s"} 2',
  ];
  const before = (await rendered(page)).split("\n");
  for (const line of expected) assert.ok(before.includes(line), line);
  first.retire();
  const after = (await rendered(page)).split("\n");
  for (const line of expected) assert.ok(after.includes(line), line);
});

test("gauges are summed over the living workers, and told apart where the table says so", async () => {
  const page = new MetricsPage();
  const first = worker(page, "1");
  const second = worker(page, "2");
  first.metrics.gauge("connections", { state: "idle" }).set(3);
  second.metrics.gauge("connections", { state: "idle" }).add(4);
  first.metrics.gauge("event_loop_utilization").set(0.25);
  second.metrics.gauge("event_loop_utilization").set(0.5);
  const before = await rendered(page);
  assert.match(before, /^headgate_connections\{state="idle"\} 7$/m);
  assert.match(before, /^headgate_event_loop_utilization\{worker="1"\} 0.25$/m);
  assert.match(before, /^headgate_event_loop_utilization\{worker="2"\} 0.5$/m);
  first.retire();
  const after = await rendered(page);
  assert.match(after, /^headgate_connections\{state="idle"\} 4$/m);
  assert.doesNotMatch(after, /worker="1"/);
});

test("a source tells its own part of a gauge over all labels", async () => {
  const page = new MetricsPage();
  const sources = ["1", "2"].map((name) => page.attach(name));
  for (const [index, source] of sources.entries()) {
    const metrics = new Metrics((news) => source.accept(news));
    metrics.gauge("connections", { state: "idle" }).set(index + 1);
    metrics.gauge("connections", { state: "active" }).set(10);
  }
  await Promise.resolve();
  assert.deepEqual(
    sources.map((source) => [source.total("connections"), source.total("nothing")]),
    [
      [11, 0],
      [12, 0],
    ],
  );
});

test("a value falls into the bucket whose upper bound it does not exceed", async () => {
  const page = new MetricsPage();
  const { metrics } = worker(page, "1");
  const histogram = metrics.histogram("size", {}, [1, 10]);
  for (const value of [0, 1, 1.5, 10, 11]) histogram.observe(value);
  const text = await rendered(page);
  assert.match(text, /size_bucket\{le="1"\} 2\n.*size_bucket\{le="10"\} 4\n.*size_bucket\{le="\+Inf"\} 5\n/);
  assert.match(text, /size_sum 23.5\n.*size_count 5\n/);
});

test("series beyond the limit of a metric are counted in one overflow series", async () => {
  const page = new MetricsPage();
  const { metrics } = worker(page, "1");
  for (let i = 0; i < seriesMax + 3; i++) metrics.counter("rate_limited_total", { route: `r${i}` }).add(1);
  metrics.counter("rate_limited_total", { route: "r0" }).add(1);
  const text = await rendered(page);
  assert.match(text, /^headgate_rate_limited_total\{overflow="true"\} 3$/m);
  assert.match(text, /^headgate_rate_limited_total\{route="r0"\} 2$/m);
  assert.equal(page.seriesCount, seriesMax + 1);
});

test("more cells than a page holds go to further pages, each announced before its series", async () => {
  const news: MetricsNews[] = [];
  const metrics = new Metrics((items) => news.push(...items));
  const handles = Array.from({ length: pageCells / 8 }, (_, i) =>
    metrics.histogram("upstream_duration_seconds", { service: `s${i}` }),
  );
  await Promise.resolve();
  const pages = new Set<number>();
  for (const item of news) {
    if ("page" in item) pages.add(item.page);
    else assert.ok(pages.has(item.inPage) && item.cell + 17 <= pageCells);
  }
  assert.ok(pages.size > 1);
  assert.equal(new Set(handles).size, handles.length);
});

test("label values are escaped", async () => {
  const page = new MetricsPage();
  const { metrics } = worker(page, "1");
  metrics.counter("rate_limited_total", { route: 'a"b\\c\nd' }).add(1);
  assert.match(await rendered(page), /\{route="a\\"b\\\\c\\nd"\} 1/);
});

for (const [what, use, message] of [
  ["another type", (m: Metrics) => m.gauge("requests_total"), /is a counter/],
  ["an unknown label", (m: Metrics) => m.counter("rate_limited_total", { path: "/" }), /no label "path"/],
  ["a name that is none", (m: Metrics) => m.counter("no-dash", {}), /no name for a metric/],
  ["a histogram without bounds", (m: Metrics) => m.histogram("mine"), /no bounds/],
] as const) {
  test(`${what} is refused`, () => {
    assert.throws(() => use(new Metrics(() => {})), message);
  });
}

test("a big page is rendered in pieces with turns of the loop in between", async () => {
  const page = new MetricsPage();
  const { metrics } = worker(page, "1");
  for (let i = 0; i < 5_000; i++) metrics.counter("rate_limited_total", { route: `route-${i}` }).add(1);
  await Promise.resolve();
  let turns = 0;
  let longest = 0;
  const breatheCounted = (): Promise<void> => Promise.resolve(void turns++);
  for await (const piece of page.render(breatheCounted)) longest = Math.max(longest, piece.length);
  assert.ok(turns >= 3, `${turns} turns`);
  assert.ok(longest < 70_000, `${longest} characters in a piece`);
});

test("a metric of the table is on the page before anything was recorded", async () => {
  const text = await rendered(new MetricsPage());
  for (const [name, { type }] of Object.entries(table)) {
    assert.match(text, new RegExp(`^# TYPE ${exposedName(name)} ${type}$`, "m"));
  }
});

test("collectors run before each page", async () => {
  const page = new MetricsPage();
  const { metrics } = worker(page, "control");
  let asked = 0;
  page.onCollect(() => metrics.gauge("config_age_seconds").set(++asked));
  await rendered(page);
  assert.match(await rendered(page), /^headgate_config_age_seconds 2$/m);
});

test("a metric that is read for each page has the series that there are then, and no more than it may", async () => {
  const page = new MetricsPage();
  let values = new Map([["a\n", 1]]);
  page.onRead("instance_up", () => Array.from(values, ([one, value]) => ({ labels: ["instance", one], value })));
  const shown = async (): Promise<string[]> =>
    (await rendered(page)).split("\n").filter((line) => line.startsWith("headgate_instance_up{"));
  assert.deepEqual(await shown(), ['headgate_instance_up{instance="a\\n"} 1']);
  assert.equal(page.seriesCount, 1);
  values = new Map();
  assert.deepEqual(await shown(), []);
  assert.equal(page.seriesCount, 0);
  values = new Map(Array.from({ length: samplesMax + 1 }, (_, index) => [String(index), 0]));
  assert.equal((await shown()).length, samplesMax);
});

test("promtool finds nothing wrong with a page that holds every metric of the table", async (t) => {
  const promtool = spawnSync("promtool", ["--version"]);
  if (promtool.error !== undefined) return t.skip("promtool is not installed (Debian package prometheus)");
  const page = new MetricsPage();
  const { metrics } = worker(page, "1");
  for (const [name, facts] of Object.entries(table)) {
    const labels = Object.fromEntries(facts.labels.map((label) => [label, "x"]));
    if (facts.type === "counter") metrics.counter(name, labels).add(1);
    else if (facts.type === "gauge") metrics.gauge(name, labels).set(1);
    else metrics.histogram(name, labels).observe(0.01);
  }
  const checked = spawnSync("promtool", ["check", "metrics"], { input: await rendered(page), encoding: "utf8" });
  assert.equal(`${checked.stdout}${checked.stderr}`, "");
  assert.equal(checked.status, 0);
});

test("docs/metrics.md has exactly the metrics of the table, with their types and labels", () => {
  const text = readFileSync(new URL("../../../../docs/metrics.md", import.meta.url), "utf8");
  const documented = new Map<string, string>();
  for (const row of text.matchAll(/^\| `([a-z_]+)` +\| (\w+) +\| ([^|]*) \|/gm)) {
    documented.set(row[1] ?? "", `${row[2] ?? ""} ${(row[3] ?? "").trim()}`);
  }
  const recorded = new Map(
    Object.entries(table).map(([name, facts]) => {
      const labels = [...facts.labels, ...("perWorker" in facts ? ["worker"] : [])];
      const shown = labels.length === 0 ? "none" : labels.map((label) => `\`${label}\``).join(", ");
      return [exposedName(name), `${facts.type} ${shown}`];
    }),
  );
  assert.deepEqual([...documented].sort(), [...recorded].sort());
});
