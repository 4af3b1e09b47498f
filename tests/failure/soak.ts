/** `node tests/failure/soak.ts --minutes 1`: exit 1 when an answer was wrong, mixed up or lost, or something leaked. */
import { parseArgs } from "node:util";
import { ManualScope } from "../kit/scope.ts";
import { soak } from "./soak-run.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    clients: { type: "string", default: "32" },
    workers: { type: "string", default: "2" },
  },
});

const scope = new ManualScope();
try {
  const report = await soak(scope, {
    seconds: Number(values.minutes) * 60,
    warmUpSeconds: 20,
    clients: Number(values.clients),
    workers: Number(values.workers),
  });
  console.log(JSON.stringify(report, undefined, 2));
  const leaked =
    report.sockets.after > report.sockets.before + 8 ||
    report.rssBytes.after > report.rssBytes.before + 64 * 1024 * 1024;
  if (leaked) console.log("sockets or memory did not come back to the start");
  process.exitCode = report.failures.length > 0 || leaked ? 1 : 0;
} finally {
  await scope.close();
}
