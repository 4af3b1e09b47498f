import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

const passedIn = "Take it from what is passed in (Clock, Random, settings), so that tests own it.";

/** Time, chance and environment are read in `core/` and where a process starts, and nowhere else. */
const impure = {
  "no-restricted-properties": [
    "error",
    { object: "Date", property: "now", message: passedIn },
    { object: "performance", property: "now", message: passedIn },
    { object: "Math", property: "random", message: passedIn },
    { object: "process", property: "env", message: passedIn },
  ],
  "no-restricted-globals": [
    "error",
    { name: "setTimeout", message: passedIn },
    { name: "setInterval", message: passedIn },
  ],
  "no-restricted-imports": [
    "error",
    {
      paths: [
        { name: "node:timers", message: passedIn },
        { name: "node:timers/promises", message: passedIn },
      ],
    },
  ],
  "no-restricted-syntax": [
    "error",
    { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: passedIn },
  ],
};

export default defineConfig(
  { ignores: ["**/node_modules/", "**/dist/", "**/data/"] },
  eslint.configs.recommended,
  ...tseslint.configs.recommended,
  {
    files: ["**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // An unhandled rejection ends a worker; a promise where a boolean is read is always true.
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            {
              from: "package",
              package: "node:test",
              name: ["test", "it", "describe", "suite", "before", "after", "beforeEach", "afterEach"],
            },
          ],
        },
      ],
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/no-unnecessary-type-assertion": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      eqeqeq: "error",
      // The parsers look for control characters: that is their work.
      "no-control-regex": "off",
    },
  },
  {
    files: ["packages/*/src/**/*.ts"],
    ignores: [
      "packages/*/src/core/**",
      "packages/gateway/src/main.ts",
      "packages/gateway/src/worker.ts",
      "**/*.test.ts",
      "**/*.{suite,model,fixtures}.ts",
    ],
    rules: impure,
  },
  {
    files: ["**/*.js"],
    languageOptions: { globals: { process: "readonly", console: "readonly" } },
  },
);
