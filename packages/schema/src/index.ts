export type * from "./resources.ts";
export type { Parsed, Path, Problem } from "./problems.ts";
export type { ValidatedDocument, ValidationCache } from "./validate.ts";
export { documentJsonSchema } from "./document.ts";
export { isNetwork } from "./network-syntax.ts";
export { formatPath, parseWith, quote } from "./problems.ts";
export { didYouMean, suggestion } from "./suggest.ts";
export {
  bytes,
  duration,
  formatBytes,
  formatDuration,
  parseBytes,
  parseDuration,
  parseRatio,
  ratio,
  timeout,
} from "./units.ts";
export { validateDocument, validationCache } from "./validate.ts";
