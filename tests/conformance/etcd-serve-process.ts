/** `node etcd-serve-process.ts DATADIR ADDRESS`: serves the embedded store there, to be killed. */
import { systemClock, systemRandom } from "../../packages/gateway/src/core/clock.ts";
import { silentLog } from "../../packages/gateway/src/core/log.ts";
import { systemTimers } from "../../packages/gateway/src/core/timers.ts";
import { openEmbedded } from "../../packages/gateway/src/control/store/embedded/open.ts";
import { serveEtcd } from "../../packages/gateway/src/control/store/embedded/serve/serve-etcd.ts";

const [dataDir = "", address = ""] = process.argv.slice(2);
const parts = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };
const store = openEmbedded({ ...parts, dataDir });
const served = await serveEtcd({ ...parts, store, address, version: "1.2.3" });
console.log(`serving ${served.address}`);
