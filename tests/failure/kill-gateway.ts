/** `node tests/failure/kill-gateway.ts --times 100`: exit 1 when a killed gateway did not start again as it should. */
import { parseArgs } from "node:util";
import { ManualScope } from "../kit/scope.ts";
import { killGateway } from "./kill-gateway-run.ts";

const { values } = parseArgs({
  options: {
    times: { type: "string", default: "100" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});

const scope = new ManualScope();
try {
  console.log(`seed ${values.seed}`);
  const report = await killGateway(scope, { times: Number(values.times), seed: Number(values.seed) });
  console.log(JSON.stringify(report, undefined, 2));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await scope.close();
}
