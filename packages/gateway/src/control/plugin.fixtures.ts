import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";

/** Writes files into a folder of their own, outside any node_modules; returns the folder. */
export function folder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const made = mkdtempSync(join(tmpdir(), "headgate-plugin-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(made, name)), { recursive: true });
    writeFileSync(join(made, name), text);
  }
  return made;
}

/** A plugin over two files; the other is `words.ts`, which exports `word`. */
export const greet = `
  import { defineMiddleware, GatewayError, z } from "headgate";
  import { z as sameZ } from "zod";
  import { duration } from "@headgate/schema";
  import { word } from "./words.ts";
  export default defineMiddleware({
    name: "greet",
    config: z.strictObject({ greeting: sameZ.string().default(word), wait: duration().optional() }),
    build({ greeting }: { greeting: string }) {
      return (exchange, next) => {
        if (exchange.request.path === "/no") throw new GatewayError("HG_FORBIDDEN");
        exchange.request.headers.set("x-greeting", greeting);
        return next();
      };
    },
  });`;

/** A plugin of one file. */
export function pluginText({
  name = "greet",
  config = "z.strictObject({})",
  build = "() => (_, next) => next()",
  before = "",
}: {
  readonly name?: string;
  readonly config?: string;
  readonly build?: string;
  readonly before?: string;
} = {}): string {
  return `import { defineMiddleware, z } from "headgate";
${before}
export default defineMiddleware({ name: ${JSON.stringify(name)}, config: ${config}, build: ${build} });
`;
}
