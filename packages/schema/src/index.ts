export type * from "./discover-settings.ts";
export type * from "./resources.ts";
export type { Parsed, Path, Problem } from "./problems.ts";
export type { ValidatedChain, ValidatedDocument, ValidationCache } from "./validate.ts";
export { documentJsonSchema } from "./document.ts";
export { nameProblem } from "./leaves.ts";
export { isNetwork } from "./network-syntax.ts";
export { formatPath, parseWith, quote } from "./problems.ts";
export { requestShapes } from "./reach.ts";
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
export { validateDocument, validateGlobalChain, validateResource, validationCache } from "./validate.ts";
export { checkConsumers } from "./checks.ts";
