/**
 * Fills the figures of README.md and docs/benchmarks.md from bench/results.json and bench/results-config.json: the text
 * between `<!-- bench:begin -->` and `<!-- bench:end -->`, and that between the markers of `bench-config`. `node
 * bench/report.ts [results.json [results-config.json]]`; exits with 1 if it could not.
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { fillBlock, fullReport, summary, type BlockName } from "./kit/report-text.ts";
import { readResults } from "./kit/results.ts";

const atRoot = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const [source = atRoot("bench/results.json"), configSource = atRoot("bench/results-config.json")] =
  process.argv.slice(2);
const results = await readResults(source);
const configResults = await readResults(configSource);

if (results === undefined) {
  console.error(`There is no ${source}; run "npm run bench" first.`);
  process.exitCode = 1;
} else {
  await fill("README.md", summary(results), "bench");
  await fill("docs/benchmarks.md", fullReport(results), "bench");
}
if (configResults === undefined) {
  console.error(`There is no ${configSource}; run "npm run bench:config" first.`);
  process.exitCode = 1;
} else {
  await fill("docs/benchmarks.md", fullReport(configResults), "bench-config");
}

async function fill(path: string, block: string, name: BlockName): Promise<void> {
  const filled = fillBlock(await readFile(atRoot(path), "utf8"), block, name);
  if (filled === undefined) {
    console.error(`${path} has no line <!-- ${name}:begin --> with a line <!-- ${name}:end --> behind it`);
    process.exitCode = 1;
    return;
  }
  await writeFile(atRoot(path), await format(filled, { parser: "markdown", printWidth: 120 }));
  console.log(`${path} is filled`);
}
