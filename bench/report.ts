/**
 * Fills the figures of README.md and docs/benchmarks.md from bench/results.json: the text between
 * `<!-- bench:begin -->` and `<!-- bench:end -->`. `node bench/report.ts [results.json]`; exits with 1 if it could not.
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { fillBlock, fullReport, summary } from "./kit/report-text.ts";
import { readResults } from "./kit/results.ts";

const atRoot = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const source = process.argv[2] ?? atRoot("bench/results.json");
const results = await readResults(source);

if (results === undefined) {
  console.error(`There is no ${source}; run "npm run bench" first.`);
  process.exitCode = 1;
} else {
  await fill("README.md", summary(results));
  await fill("docs/benchmarks.md", fullReport(results));
}

async function fill(path: string, block: string): Promise<void> {
  const filled = fillBlock(await readFile(atRoot(path), "utf8"), block);
  if (filled === undefined) {
    console.error(`${path} has no line <!-- bench:begin --> with a line <!-- bench:end --> behind it`);
    process.exitCode = 1;
    return;
  }
  await writeFile(atRoot(path), await format(filled, { parser: "markdown", printWidth: 120 }));
  console.log(`${path} is filled`);
}
