import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPath, validateDocument } from "@headgate/schema";
import { pluginUses } from "./plugin-uses.ts";

test("a plugin is found in every chain, with its settings and their place", () => {
  const { value } = validateDocument({
    plugins: { a: "./a.ts", b: "./b.ts", idle: "./idle.ts" },
    global: ["a", "request-id"],
    middlewares: { named: { b: { x: 1 } }, other: "jwt" },
    routes: { r: { use: ["named", { a: { x: 2 }, when: { methods: ["GET"] } }, "b"], respond: {} } },
    services: { s: { use: [{ a: null }] } },
  });
  assert.ok(value !== undefined);
  const uses = pluginUses(value.resources, new Set(["a", "b", "idle"]));
  const told = Object.fromEntries(
    [...uses].map(([name, places]) => [name, places.map(({ path, settings }) => [formatPath(path), settings])]),
  );
  assert.deepEqual(told, {
    a: [
      ["global[0]", undefined],
      ["routes.r.use[1].a", { x: 2 }],
      ["services.s.use[0]", undefined],
    ],
    b: [
      ["middlewares.named.b", { x: 1 }],
      ["routes.r.use[2]", undefined],
    ],
    idle: [],
  });
});
